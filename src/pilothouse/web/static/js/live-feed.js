// <live-feed data-events="/api/v1/live/events?…">: the stream of live events, told to the whole page as "live-change"
// with {name, data}. Shows whether it hears anything in [data-status]. With data-until-end it stops when its trace ends.
// While it hears nothing, it tells every few seconds that something may have changed, so that regions still ask.

import { LiveStream } from "./live-stream.js";

const DEAF_MS = 5000;

class LiveFeed extends HTMLElement {
  connectedCallback() {
    this.mark = this.querySelector("[data-status]");
    const tell = (name) => (data) => this.tell(name, data);
    this.stream = new LiveStream(
      this.dataset.events,
      "",
      { span: tell("span"), trace: tell("trace"), signal: tell("signal"), status: (word) => this.say(word) },
      () => this.tell("again", {}),
    );
  }

  disconnectedCallback() {
    clearInterval(this.deaf);
    this.stream?.close();
  }

  say(word) {
    clearInterval(this.deaf);
    if (word !== "live") this.deaf = setInterval(() => this.tell("again", {}), DEAF_MS);
    // What came between the making of this page and the first event.
    else this.tell("again", {});
    if (!this.mark || this.ended) return;
    this.mark.textContent = word === "live" ? "live" : "connection lost, trying again";
    this.mark.classList.toggle("off", word !== "live");
  }

  tell(name, data) {
    document.dispatchEvent(new CustomEvent("live-change", { detail: { name, data } }));
    const over = "untilEnd" in this.dataset && name === "trace" && (data.state === "ended" || data.state === "gone");
    if (!over || this.ended) return;
    this.ended = true;
    clearInterval(this.deaf);
    this.stream.close();
    if (this.mark) {
      this.mark.textContent = `ended: ${data.status ?? "ok"}`;
      this.mark.classList.add("off");
    }
  }
}

customElements.define("live-feed", LiveFeed);
