// <live-region data-seconds="5">: asks the part inside it to refresh itself, as long as somebody looks at the page.
// The part names its own address (hx-get) and listens for the event "refresh". Where a <live-feed> stands on the page,
// it is asked as soon as something arrives, and the seconds are but a fallback.

const PAUSE_MS = 800; // data-pause says otherwise

class LiveRegion extends HTMLElement {
  connectedCallback() {
    this.timer = setInterval(() => this.tick(), Number(this.dataset.seconds) * 1000);
    document.addEventListener("visibilitychange", this.shown);
    document.addEventListener("live-change", this.changed);
  }

  disconnectedCallback() {
    clearInterval(this.timer);
    clearTimeout(this.soon);
    document.removeEventListener("visibilitychange", this.shown);
    document.removeEventListener("live-change", this.changed);
  }

  shown = () => {
    if (!document.hidden && this.missed) this.tick();
  };

  changed = () => {
    this.soon ??= setTimeout(() => {
      this.soon = null;
      this.tick();
    }, Number(this.dataset.pause ?? PAUSE_MS));
  };

  tick() {
    // Not while somebody selects text in it: the swap would take the selection away.
    const selection = getSelection();
    const selecting = selection && !selection.isCollapsed && this.contains(selection.anchorNode);
    this.missed = document.hidden || selecting;
    if (!this.missed && navigator.onLine) {
      this.firstElementChild?.dispatchEvent(new CustomEvent("refresh"));
    }
  }
}

customElements.define("live-region", LiveRegion);
