// <live-follow data-view>: keeps the newest step of a running trace in sight, in the transcript or in the waterfall.

class LiveFollow extends HTMLElement {
  connectedCallback() {
    document.addEventListener("live-change", this.changed);
    // The transcript is swapped some time after the event; what grew is then scrolled to.
    this.watch = new MutationObserver(() => this.newest());
    const transcript = document.querySelector("ol.transcript")?.parentElement;
    if (transcript) this.watch.observe(transcript, { childList: true, subtree: true });
    this.newest();
  }

  disconnectedCallback() {
    document.removeEventListener("live-change", this.changed);
    this.watch.disconnect();
  }

  newest() {
    const last = [...document.querySelectorAll("ol.transcript > .turn")].at(-1);
    if (last?.id === this.last) return;
    this.last = last?.id;
    last?.scrollIntoView({ block: "end" });
  }

  changed = ({ detail }) => {
    if (detail.name === "span" && detail.data.step) document.querySelector("trace-waterfall")?.aim?.(detail.data.step);
  };
}

customElements.define("live-follow", LiveFollow);
