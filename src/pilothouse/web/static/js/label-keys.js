// <label-keys>: around an item that is to be labelled. 1 to 9 press a choice, s skips, u takes the last one back, n goes to
// the note. A press is sent once, however long the key is held.

class LabelKeys extends HTMLElement {
  connectedCallback() {
    document.addEventListener("page-key", this.key);
    this.addEventListener("submit", this.sent);
  }

  disconnectedCallback() {
    document.removeEventListener("page-key", this.key);
  }

  sent = (event) => {
    if (this.gone) event.preventDefault();
    this.gone = true;
    // Somebody who comes back by the browser's own button may press again.
    addEventListener("pageshow", () => (this.gone = false), { once: true });
  };

  key = (event) => {
    const { key } = event.detail;
    if (!/^[1-9sun]$/.test(key)) return;
    const way = this.querySelector(`[data-key="${key}"]`);
    if (!way) return;
    if (key === "n") way.focus();
    else way.click();
    event.preventDefault();
  };
}

customElements.define("label-keys", LabelKeys);
