// <live-table data-events data-cursor data-now data-here data-states data-words>: the rows of what runs, kept true by
// the stream of events. A row is never moved under the reader's pointer: changes of order wait until it has left.

import { LiveStream } from "./live-stream.js";
import { age, duration, gist, money, revealed, tokens } from "./live-words.js";

const STATES = ["died", "stalled", "waiting_human", "rate_limited", "retrying", "quiet", "queued", "running", "ended"];
const ROWS_MAX = 500;

class LiveTable extends HTMLElement {
  connectedCallback() {
    this.body = this.querySelector("tbody");
    this.blank = this.querySelector("template").content.querySelector("tr");
    this.words = JSON.parse(this.dataset.words);
    this.states = this.dataset.states.split(",").filter(Boolean);
    this.rows = new Map([...this.body.rows].map((row) => [row.dataset.id, row]));
    this.waiting = new Map();
    // The server's clock: ages are counted by it, whatever the reader's clock says.
    this.behind = Date.now() - Date.parse(this.dataset.now);
    this.status = this.querySelector("[data-status]");
    this.note = this.querySelector(".held");
    this.button = this.querySelector(".pause");
    this.button.hidden = false;
    this.button.addEventListener("click", () => this.pause());
    this.body.addEventListener("pointerenter", () => this.hold(true));
    this.body.addEventListener("pointerleave", () => this.hold(false));
    document.addEventListener("page-key", this.key);
    this.timer = setInterval(() => this.tick(), 1000);
    this.stream = new LiveStream(
      this.dataset.events,
      this.dataset.cursor,
      {
        trace: (row) => this.change(row),
        counts: (data) => this.count(data),
        status: (word) => this.say(word),
      },
      () => this.refresh(),
    );
    this.tick();
  }

  disconnectedCallback() {
    clearInterval(this.timer);
    document.removeEventListener("page-key", this.key);
    this.stream?.close();
  }

  say(word) {
    this.status.textContent = { live: "live", reconnecting: "connection lost, trying again", paused: "paused", refused: "offline" }[word];
    this.status.classList.toggle("off", word !== "live");
  }

  pause() {
    const paused = this.button.getAttribute("aria-pressed") !== "true";
    this.button.setAttribute("aria-pressed", paused);
    this.button.textContent = paused ? "Go on" : "Pause";
    this.stream.pause(paused);
  }

  // Chosen by key, a row stays where it is for a while, too.
  key = (event) => {
    if (!["j", "k"].includes(event.detail.key)) return;
    this.hold(true);
    clearTimeout(this.release);
    this.release = setTimeout(() => this.hold(this.body.matches(":hover")), 5000);
  };

  hold(held) {
    this.held = held;
    if (!held) this.settle();
  }

  // --- rows

  change(row) {
    const fits = row.state !== "gone" && (!this.states.length || this.states.includes(row.state));
    const known = this.rows.get(row.trace_id);
    if (known && row.state !== "gone") this.fill(known, row);
    const stays = known && fits && known.dataset.rank === rank(row);
    if (stays) this.waiting.delete(row.trace_id);
    else if (known || fits) this.waiting.set(row.trace_id, fits ? row : null);
    if (!this.held) this.settle();
    else this.tell();
  }

  // Put rows where they belong: new ones in, ended ones out, the rest in order.
  settle() {
    for (const [id, row] of this.waiting) {
      let line = this.rows.get(id);
      if (!row) {
        line?.remove();
        this.rows.delete(id);
        continue;
      }
      if (!line) {
        if (this.rows.size >= ROWS_MAX) continue;
        line = this.blank.cloneNode(true);
        line.dataset.id = id;
        line.dataset.href = `/traces/${encodeURIComponent(id)}`;
        line.querySelector("a").href = line.dataset.href;
        line.classList.add("fresh");
        this.rows.set(id, line);
        this.fill(line, row);
      }
      line.dataset.rank = rank(row);
      const next = [...this.body.rows].find((other) => other !== line && other.dataset.rank > line.dataset.rank);
      if (line.nextElementSibling !== (next ?? null) || !line.isConnected) this.body.insertBefore(line, next ?? null);
    }
    this.waiting.clear();
    this.tell();
    const empty = !this.rows.size;
    this.querySelector(".live-panel").hidden = empty;
    this.querySelector(".live-empty").hidden = !empty;
    this.tick();
  }

  tell() {
    const text = this.waiting.size ? `${this.waiting.size} ${this.waiting.size === 1 ? "change waits" : "changes wait"} while you point here` : "";
    if (this.note.textContent !== text) this.note.textContent = text;
  }

  fill(line, row) {
    const part = (name) => line.querySelector(`[data-f="${name}"]`);
    line.classList.toggle("needs", row.attention);
    write(part("state"), this.words[row.state] ?? row.state);
    part("state").className = `live-state ${row.state}`;
    part("since").dataset.age = row.since;
    write(part("agent"), row.agent || row.root_name || row.trace_id);
    write(part("where"), [row.agent && row.root_name.replace(/^invoke_agent /, "") !== row.agent ? row.root_name : "", row.environment].filter(Boolean).join(" "));
    const why = ["running", "ended"].includes(row.state) && row.input_text ? row.input_text : row.reason;
    write(part("reason"), gist(why));
    write(part("error"), why.includes(row.last_error) ? "" : row.last_error);
    const marks = row.signals.filter((name) => name !== "error" && name !== row.state);
    if (part("signals").dataset.of !== marks.join()) {
      part("signals").dataset.of = marks.join();
      part("signals").replaceChildren(...marks.map(chip));
    }
    part("doing").className = `kind ${row.doing?.kind ?? "none"}`;
    write(part("doing").firstElementChild, row.doing?.name ?? "");
    write(part("last"), row.last ? `after ${row.last.name}` : "");
    part("step").dataset.age = row.doing?.since ?? "";
    if (!row.doing) write(part("step"), "");
    const alive = row.heartbeat === "alive";
    part("sign").className = row.heartbeat;
    part("sign").dataset.age = alive ? "" : row.sign_of_life;
    if (alive) write(part("sign"), "alive");
    const open = row.status === "running";
    part("elapsed").dataset.age = open ? row.start_time : "";
    part("elapsed").dataset.usual = row.usual_p95_ms ?? "";
    if (!open) write(part("elapsed"), duration(row.elapsed_ms));
    write(part("usual"), row.usual_p50_ms ? `of ${duration(row.usual_p50_ms)}` : "");
    write(part("spans"), row.spans.toLocaleString("en"));
    write(part("tokens"), tokens(row.total_tokens));
    write(part("cost"), money(row.cost_usd));
    write(part("usual-cost"), row.usual_cost_usd ? `of ${money(row.usual_cost_usd)}` : "");
    this.age(line);
  }

  // --- counts and clocks

  count({ counts, attention }) {
    for (const chip of this.querySelectorAll("[data-count]")) {
      const number = counts[chip.dataset.count] ?? 0;
      write(chip.querySelector("b"), String(number));
      chip.hidden = !number && !chip.hasAttribute("aria-current");
    }
    document.title = `${attention ? `(${attention}) ` : ""}Live · Pilothouse`;
  }

  tick() {
    if (!document.hidden) for (const line of this.rows.values()) this.age(line);
  }

  age(line) {
    const now = Date.now() - this.behind;
    for (const part of line.querySelectorAll("[data-age]")) {
      if (part.dataset.age) write(part, age(now - Date.parse(part.dataset.age)));
    }
    const elapsed = line.querySelector('[data-f="elapsed"]');
    const usual = Number(elapsed.dataset.usual);
    if (!elapsed.dataset.age || !usual) return;
    const share = (now - Date.parse(elapsed.dataset.age)) / usual;
    elapsed.classList.toggle("over", share > 1);
    line.querySelector(".cell-bar rect")?.setAttribute("width", Math.min(share * 100, 100).toFixed(1));
  }

  // After a gap: the whole picture, since silence changes states and nobody told.
  async refresh() {
    const url = new URL(this.dataset.here, location.href);
    url.searchParams.set("format", "json");
    const answer = await fetch(url, { headers: { Accept: "application/json" } }).catch(() => null);
    if (!answer?.ok) return;
    const { live } = await answer.json();
    const ids = new Set(live.rows.map((row) => row.trace_id));
    for (const id of this.rows.keys()) if (!ids.has(id)) this.change({ trace_id: id, state: "gone" });
    for (const row of live.rows) this.change(row);
    this.count(live);
  }
}

function rank(row) {
  return `${STATES.indexOf(row.state)}${row.attention ? 0 : 1}${row.since}${row.trace_id}`;
}

function write(part, text) {
  const shown = revealed(text);
  if (part.textContent !== shown) part.textContent = shown;
}

function chip(name) {
  return Object.assign(document.createElement("span"), { className: `chip ${name === "no_answer" ? "bad" : "warn"}`, textContent: name.replaceAll("_", " ") });
}

customElements.define("live-table", LiveTable);
