// <trace-waterfall data-src data-total>: the steps of a trace as bars over time, however many there are.
// Rows come in chunks of columns, in tree order, so a folded subtree is a run of rows that is skipped.
// Only the rows in sight are in the document.

import { WaterfallMap } from "./waterfall-map.js";
import { WaterfallRows } from "./waterfall-rows.js";

const ROW = 24;
const CHUNK = 8000;
const STATUS = ["", "bad", "running", "bad"];
const SPARE = 6;

class TraceWaterfall extends HTMLElement {
  async connectedCallback() {
    this.chunks = new Map();
    this.waiting = new Map();
    document.addEventListener("page-key", this.key);
    document.addEventListener("live-change", this.grown);
    this.closest("step-pane")?.addEventListener("step-shown", this.shown);
    const first = await this.chunk(0);
    if (!first) return; // the rows in the page stay
    this.total = first.total;
    this.duration = first.duration || 1;
    this.kinds = first.kinds;
    this.rows = new WaterfallRows(this.total, (row) => this.value(row, "below"));
    this.from = 0;
    this.to = this.duration;
    this.marks = new Map();
    for (const [step, at, state] of JSON.parse(this.dataset.marks || "[]")) {
      if (!this.marks.has(step)) this.marks.set(step, []);
      this.marks.get(step).push([at, state]);
    }
    this.build(first);
    if (this.dataset.step) this.reveal(Number(this.dataset.step));
  }

  disconnectedCallback() {
    document.removeEventListener("page-key", this.key);
    document.removeEventListener("live-change", this.grown);
    this.resized?.disconnect();
  }

  // --- data

  async chunk(index) {
    if (this.chunks.has(index)) return this.chunks.get(index);
    if (!this.waiting.has(index)) {
      const url = `${this.dataset.src}?as=columns&after=${index * CHUNK}&limit=${CHUNK}`;
      const loaded = fetch(url)
        .then((answer) => (answer.ok ? answer.json() : null))
        .then((data) => {
          if (data) this.chunks.set(index, data.columns);
          return data?.columns ?? null;
        })
        .catch(() => null)
        .finally(() => this.waiting.delete(index));
      this.waiting.set(index, loaded);
    }
    return this.waiting.get(index);
  }

  async all() {
    for (let index = 0; index * CHUNK < this.total; index++) {
      this.say(`${Math.round((100 * index * CHUNK) / this.total)} % loaded`);
      if (!(await this.chunk(index))) break;
    }
    this.count();
  }

  value(row, column) {
    const chunk = this.chunks.get(Math.floor(row / CHUNK));
    return chunk?.[column][row % CHUNK];
  }

  name(row) {
    const chunk = this.chunks.get(Math.floor(row / CHUNK));
    return chunk.names[chunk.name[row % CHUNK]];
  }

  // --- a trace that runs

  grown = () => {
    if (!this.rows) return;
    // The more there is to read again, the longer it waits for more.
    this.later ??= setTimeout(() => this.renew(), 700 + this.total / 10);
  };

  // The step to bring into sight once its row is there.
  aim(step) {
    this.aimed = step;
  }

  async renew() {
    const first = await fetch(`${this.dataset.src}?as=columns&after=0&limit=${CHUNK}`)
      .then((answer) => (answer.ok ? answer.json() : null))
      .catch(() => null);
    this.later = null;
    if (!first?.columns) return;
    const whole = this.from <= 0 && this.to >= this.duration;
    const folded = new Set([...this.rows.closed].map((row) => this.value(row, "step")));
    this.chunks = new Map([[0, first.columns]]);
    this.waiting.clear();
    this.total = first.columns.total;
    this.duration = first.columns.duration || 1;
    this.kinds = first.columns.kinds;
    this.map.renew(first.columns.busy, this.kinds);
    if (whole) this.to = this.duration;
    this.scroll.setAttribute("aria-rowcount", this.total);
    // Rows move when a step comes in between: what was folded is found again by its step.
    this.rows.total = this.total;
    const heads = [];
    for (let row = 0; folded.size && row < Math.min(this.total, CHUNK); row++) if (folded.has(this.value(row, "step"))) heads.push(row);
    this.rows.close(heads);
    if (this.search.value || this.onlyErrors.getAttribute("aria-pressed") === "true") await this.filter();
    else {
      this.count();
      this.relayout();
    }
    if (this.aimed) {
      const step = this.aimed;
      this.aimed = 0;
      await this.reveal(step, false);
      // The rows scroll within the page, which may have to scroll as well.
      this.querySelector(`.wf-row:not([hidden])[data-row="${this.find(step)}"]`)?.scrollIntoView({ block: "nearest" });
    }
  }

  // --- the frame

  build(first) {
    this.replaceChildren();
    this.classList.add("wf-grid");
    const bar = element("div", "wf-bar");
    this.search = Object.assign(element("input"), { type: "search", placeholder: "find a step by name", ariaLabel: "Find a step by name" });
    this.search.addEventListener("input", () => this.filter());
    this.onlyErrors = this.toggle("Errors only", () => this.filter());
    this.path = this.toggle("Critical path", () => this.paint());
    this.path.title = "Until these steps ended, nothing after them could";
    const fold = button("Fold", () => this.fold(true));
    const unfold = button("Unfold", () => this.fold(false));
    this.whole = button("Whole time", () => this.zoom(0, this.duration));
    this.whole.hidden = true;
    this.note = element("span", "end muted");
    bar.append(this.search, this.onlyErrors, this.path, fold, unfold, this.whole, this.note);

    const head = element("div", "wf-head");
    const lane = element("div");
    const map = element("div", "wf-map");
    this.map = new WaterfallMap(map, first.busy, this.kinds, (from, to) => this.zoom(from * this.duration, to * this.duration));
    this.ruler = element("div", "wf-ruler");
    lane.append(map, this.ruler);
    head.append(element("div", "", "step"), lane, element("div"));

    this.scroll = element("div", "wf-scroll");
    this.scroll.tabIndex = 0;
    this.scroll.setAttribute("role", "treegrid");
    this.scroll.setAttribute("aria-label", "steps over time");
    this.scroll.setAttribute("aria-rowcount", this.total);
    this.canvas = element("div", "wf-rows");
    this.scroll.append(this.canvas);
    this.append(bar, head, this.scroll);

    this.pool = [];
    this.scroll.addEventListener("scroll", () => this.soon(), { passive: true });
    this.scroll.addEventListener("click", (event) => this.click(event));
    this.resized = new ResizeObserver(() => this.soon());
    this.resized.observe(this.scroll);
    this.count();
    this.relayout();
  }

  toggle(label, then) {
    const made = button(label, () => {
      made.setAttribute("aria-pressed", made.getAttribute("aria-pressed") !== "true");
      then();
    });
    made.setAttribute("aria-pressed", "false");
    return made;
  }

  say(text) {
    this.note.textContent = text;
  }

  count() {
    const shown = this.rows.length;
    this.say(shown === this.total ? `${this.total.toLocaleString("en")} steps` : `${shown.toLocaleString("en")} of ${this.total.toLocaleString("en")} steps`);
  }

  // --- which rows, which time

  async filter() {
    const word = this.search.value.trim().toLowerCase();
    const errors = this.onlyErrors.getAttribute("aria-pressed") === "true";
    if (!word && !errors) {
      this.rows.show(null);
    } else {
      await this.all();
      const found = [];
      for (let row = 0; row < this.total; row++) {
        const status = this.value(row, "status");
        if (errors && status !== 1 && status !== 3) continue;
        if (word && !this.name(row).toLowerCase().includes(word)) continue;
        found.push(row);
      }
      this.rows.show(found);
    }
    this.scroll.scrollTop = 0;
    this.count();
    this.relayout();
  }

  async fold(closed) {
    if (closed) {
      await this.all();
      // The outermost rows whose subtrees are worth hiding: everything below the second level.
      const heads = [];
      for (let row = 0; row < this.total; row++) {
        if (this.value(row, "depth") === 1 && this.value(row, "below") > 0) heads.push(row);
      }
      this.rows.close(heads);
    } else this.rows.open();
    this.count();
    this.relayout();
  }

  zoom(from, to) {
    this.from = Math.max(from, 0);
    this.to = Math.min(Math.max(to, this.from + 1), this.duration);
    const whole = this.from <= 0 && this.to >= this.duration;
    this.whole.hidden = whole;
    this.map.select(whole ? null : [this.from / this.duration, this.to / this.duration]);
    this.paint();
  }

  relayout() {
    const height = this.rows.length * ROW;
    this.canvas.style.height = `${Math.max(height, ROW)}px`;
    this.scroll.classList.toggle("short", height <= 560);
    this.paint();
  }

  // --- drawing

  soon() {
    if (this.queued) return;
    this.queued = requestAnimationFrame(() => {
      this.queued = 0;
      this.paint();
    });
  }

  paint() {
    this.rule();
    const short = this.scroll.classList.contains("short");
    const top = short ? 0 : Math.max(Math.floor(this.scroll.scrollTop / ROW) - SPARE, 0);
    const seen = short ? this.rows.length : Math.ceil(this.scroll.clientHeight / ROW) + 2 * SPARE;
    const bottom = Math.min(top + seen, this.rows.length);
    while (this.pool.length < bottom - top) this.pool.push(this.blank());
    this.pool.forEach((line, index) => {
      const place = top + index;
      line.row.hidden = place >= bottom;
      if (place < bottom) this.fill(line, place);
    });
    if (!this.rows.length) this.say("no step fits");
  }

  blank() {
    const row = element("div", "wf-row");
    row.setAttribute("role", "row");
    const label = element("div", "label");
    label.setAttribute("role", "gridcell");
    const twist = Object.assign(element("button", "twist"), { type: "button", tabIndex: -1 });
    const kind = element("span", "kind");
    const text = element("span");
    kind.append(text);
    const number = element("span", "no");
    const below = element("span", "below");
    label.append(number, twist, kind, below);
    const lane = element("div", "lane");
    lane.setAttribute("role", "gridcell");
    // Room is left at the right, so that the words behind the longest bar stay in sight.
    const bars = lane.appendChild(element("div", "bars"));
    const bar = element("div", "barline");
    const time = element("span", "time");
    const path = element("div", "path");
    bars.append(bar, path, time);
    const cost = element("div", "cost");
    row.append(label, lane, cost);
    this.canvas.append(row);
    return { row, number, twist, kind, text, below, bars, bar, time, path, cost };
  }

  fill(line, place) {
    const row = this.rows.at(place);
    line.row.style.top = `${place * ROW}px`;
    const chunk = this.chunks.get(Math.floor(row / CHUNK));
    line.row.dataset.row = row;
    if (!chunk) {
      line.row.className = "wf-row";
      line.text.textContent = "…";
      line.number.textContent = line.below.textContent = line.time.textContent = line.cost.textContent = "";
      line.bar.hidden = line.path.hidden = true;
      for (const tick of line.bars.querySelectorAll(".state")) tick.remove();
      this.chunk(Math.floor(row / CHUNK)).then(() => this.soon());
      return;
    }
    const at = row % CHUNK;
    const kind = chunk.kinds[chunk.kind[at]];
    const status = chunk.status[at];
    const below = chunk.below[at];
    const closed = this.rows.closed.has(row);
    const critical = chunk.critical[at] === 1;
    const path = this.path.getAttribute("aria-pressed") === "true";
    line.row.className = `wf-row ${STATUS[status]}${path && !critical ? " off-path" : ""}`;
    line.row.setAttribute("aria-selected", this.chosen === chunk.step[at]);
    line.row.setAttribute("aria-rowindex", row + 1);
    line.row.setAttribute("aria-level", chunk.depth[at] + 1);
    if (below) line.row.setAttribute("aria-expanded", !closed);
    else line.row.removeAttribute("aria-expanded");
    line.number.textContent = chunk.step[at];
    line.twist.textContent = below ? (closed ? "▶" : "▼") : "";
    line.twist.style.marginInlineStart = `${Math.min(chunk.depth[at], 14) * 12}px`;
    line.kind.className = `kind ${kind}`;
    line.text.textContent = chunk.names[chunk.name[at]];
    line.text.title = line.text.textContent;
    line.below.textContent = closed ? `+${below}` : "";
    const start = chunk.start[at];
    const length = chunk.length[at];
    const scale = 100 / (this.to - this.from);
    const left = (start - this.from) * scale;
    const right = left + length * scale;
    const inSight = right >= 0 && left <= 100;
    line.bar.hidden = !inSight;
    if (inSight) {
      const a = Math.max(left, -1);
      line.bar.className = `barline bg-${status === 1 ? "error" : kind}`;
      line.bar.style.left = `${a}%`;
      line.bar.style.width = `${Math.min(right, 101) - a}%`;
    }
    line.path.hidden = !critical || !inSight;
    if (critical && inSight) {
      line.path.style.left = `${Math.max(left, 0)}%`;
      line.path.style.width = `max(2px, ${Math.min(right, 100) - Math.max(left, 0)}%)`;
    }
    const marks = (this.marks.get(chunk.step[at]) ?? []).filter(([when]) => when >= this.from && when <= this.to);
    while (line.bars.querySelectorAll(".state").length > marks.length) line.bars.querySelector(".state").remove();
    marks.forEach(([when, state], index) => {
      const tick = line.bars.querySelectorAll(".state")[index] ?? line.bars.appendChild(element("i", "state"));
      tick.title = state;
      tick.style.left = `${(when - this.from) * scale}%`;
    });
    line.time.textContent = inSight ? written(length) : left > 100 ? "later" : "earlier";
    line.time.style.left = `${Math.min(Math.max(right, 0), 100)}%`;
    line.time.classList.toggle("ends", left > 100);
    line.cost.textContent = chunk.cost[at] ? money(chunk.cost[at]) : chunk.tokens[at] ? `${short(chunk.tokens[at])} tok` : "";
  }

  rule() {
    const ticks = Math.min(Math.max(Math.floor(this.ruler.clientWidth / 96), 1), 8);
    const wanted = `${this.from} ${this.to} ${ticks}`;
    if (this.ruled === wanted) return;
    this.ruled = wanted;
    this.ruler.replaceChildren();
    for (let i = 0; i <= ticks; i++) {
      const mark = element("span", "", written(this.from + ((this.to - this.from) * i) / ticks));
      mark.style.left = `${(100 * i) / ticks}%`;
      this.ruler.append(mark);
    }
  }

  // --- use

  click(event) {
    const line = event.target.closest(".wf-row");
    if (!line) return;
    const row = Number(line.dataset.row);
    if (event.target.closest(".twist") && this.value(row, "below")) this.twist(row);
    else this.choose(row);
  }

  twist(row) {
    this.rows.toggle(row);
    this.count();
    this.relayout();
  }

  choose(row) {
    const step = this.value(row, "step");
    if (step) this.closest("step-pane")?.show(step);
  }

  shown = (event) => {
    const { step } = event.detail;
    if (step === this.chosen) return;
    this.chosen = step;
    if (step && this.rows) this.reveal(step);
    else if (this.rows) this.paint();
  };

  async reveal(step, choose = true) {
    if (choose) this.chosen = step;
    let row = this.find(step);
    if (row < 0) {
      const answer = await fetch(`${this.dataset.src}?as=columns&limit=1&step=${step}`).catch(() => null);
      row = answer?.ok ? ((await answer.json()).row_of_step ?? -1) : -1;
      if (row >= 0) await this.chunk(Math.floor(row / CHUNK));
    }
    if (row < 0) return;
    if (this.rows.uncover(row)) this.relayout();
    const top = this.rows.place(row) * ROW;
    const view = this.scroll;
    if (top < view.scrollTop || top > view.scrollTop + view.clientHeight - ROW) view.scrollTop = top - view.clientHeight / 3;
    this.paint();
  }

  find(step) {
    for (const [index, chunk] of this.chunks) {
      const at = chunk.step.indexOf(step);
      if (at >= 0) return index * CHUNK + at;
    }
    return -1;
  }

  key = (event) => {
    const { key } = event.detail;
    if (!this.rows?.length) return;
    const row = this.chosen ? this.find(this.chosen) : -1;
    const place = row < 0 ? -1 : this.rows.place(row);
    if (key === "j" || key === "k" || key === "ArrowDown" || key === "ArrowUp") {
      const next = Math.min(Math.max(place + (key === "j" || key === "ArrowDown" ? 1 : -1), 0), this.rows.length - 1);
      this.pick(this.rows.at(next));
    } else if (key === "Enter" && row >= 0) this.choose(row);
    else if (key === "ArrowLeft" && row >= 0 && this.value(row, "below") && !this.rows.closed.has(row)) this.twist(row);
    else if (key === "ArrowRight" && row >= 0 && this.rows.closed.has(row)) this.twist(row);
    else return;
    event.preventDefault();
  };

  async pick(row) {
    await this.chunk(Math.floor(row / CHUNK));
    const step = this.value(row, "step");
    if (this.closest("step-pane")?.step) this.choose(row);
    else this.reveal(step);
  }
}

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

function button(label, then) {
  const made = Object.assign(element("button", "button small", label), { type: "button" });
  made.addEventListener("click", then);
  return made;
}

function written(us) {
  const ms = us / 1000;
  if (ms < 1) return ms ? `${Math.round(us)} µs` : "0";
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)}m ${String(Math.floor(ms / 1000) % 60).padStart(2, "0")}s`;
  return `${Math.floor(ms / 3_600_000)}h ${String(Math.floor(ms / 60_000) % 60).padStart(2, "0")}m`;
}

function money(micro) {
  return micro >= 10_000 ? `$${(micro / 1e6).toPrecision(3)}` : `$${(micro / 1e6).toFixed(6).replace(/0+$/, "")}`;
}

function short(number) {
  return number >= 10_000 ? `${(number / 1000).toFixed(1)}k` : String(number);
}

customElements.define("trace-waterfall", TraceWaterfall);
