// The stream of live events: one connection while the page is looked at, taken up again where it broke off.

const PAUSES_MS = [500, 1000, 2000, 5000, 10000, 20000];

export class LiveStream {
  // on: {span, trace, signal, counts, lag} by name, and status(word): "live", "reconnecting", "paused", "refused".
  // again() is called after a gap: what a clock decides was not told meanwhile.
  constructor(url, cursor, on, again = () => {}) {
    this.url = new URL(url, location.href);
    this.cursor = cursor;
    this.on = on;
    this.again = again;
    this.failures = 0;
    this.began = false;
    this.paused = false;
    document.addEventListener("visibilitychange", this.looked);
    addEventListener("pagehide", this.leave);
    this.open();
  }

  close() {
    document.removeEventListener("visibilitychange", this.looked);
    removeEventListener("pagehide", this.leave);
    this.leave();
  }

  pause(paused) {
    this.paused = paused;
    if (paused) this.leave();
    else this.open();
    if (paused) this.say("paused");
  }

  // A page nobody looks at holds no connection: browsers allow six to a server.
  looked = () => {
    if (document.hidden) this.leave();
    else this.open();
  };

  leave = () => {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  };

  say(word) {
    if (word !== this.word) this.on.status?.(word);
    this.word = word;
  }

  open() {
    if (this.source || this.paused || document.hidden) return;
    this.url.searchParams.set("cursor", this.cursor);
    const source = new EventSource(this.url);
    this.source = source;
    source.addEventListener("open", () => {
      this.failures = 0;
      this.say("live");
      if (this.began) this.again();
      this.began = true;
    });
    source.addEventListener("error", () => {
      // What the browser would do by itself, but with longer pauses, and also after an answer that is no stream.
      source.close();
      if (this.source !== source) return;
      this.source = null;
      this.failures += 1;
      this.say(this.failures > 4 && !navigator.onLine ? "refused" : "reconnecting");
      const pause = PAUSES_MS[Math.min(this.failures - 1, PAUSES_MS.length - 1)];
      this.timer = setTimeout(() => this.open(), pause * (0.8 + 0.4 * Math.random()));
    });
    for (const name of ["span", "trace", "signal", "counts", "lag"]) {
      source.addEventListener(name, (event) => {
        this.cursor = event.lastEventId || this.cursor;
        const data = JSON.parse(event.data);
        if (name === "lag") this.again();
        this.on[name]?.(data);
      });
    }
  }
}
