// <live-region data-seconds="5">: asks the part inside it to refresh itself, as long as somebody looks at the page.
// The part names its own address (hx-get) and listens for the event "refresh".

class LiveRegion extends HTMLElement {
  connectedCallback() {
    this.timer = setInterval(() => this.tick(), Number(this.dataset.seconds) * 1000);
    document.addEventListener("visibilitychange", this.shown);
  }

  disconnectedCallback() {
    clearInterval(this.timer);
    document.removeEventListener("visibilitychange", this.shown);
  }

  shown = () => {
    if (!document.hidden && this.missed) this.tick();
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
