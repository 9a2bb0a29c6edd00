// <heat-map>: the picture is drawn by the server. This tells what a cell holds and lets a dragged box narrow the list.

const SVG = "http://www.w3.org/2000/svg";

class HeatMap extends HTMLElement {
  connectedCallback() {
    this.svg = this.querySelector(".heat");
    const { times, edges, cells } = JSON.parse(this.dataset.heat);
    [this.start, this.width, this.columns] = times;
    this.edges = edges;
    this.rows = edges.length - 1;
    this.cells = new Map(cells.map(([column, row, count, errors]) => [`${column},${row}`, [count, errors]]));
    this.svg.addEventListener("pointerdown", (event) => this.press(event));
    this.svg.addEventListener("pointermove", (event) => this.move(event));
    this.svg.addEventListener("pointerup", (event) => this.release(event));
    this.svg.addEventListener("pointerleave", () => this.hush());
  }

  // Where the pointer is, in columns from the left and rows from the bottom.
  at(event) {
    const box = this.svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * this.columns;
    const y = (1 - (event.clientY - box.top) / box.height) * this.rows;
    return [Math.min(Math.max(x, 0), this.columns - 1e-6), Math.min(Math.max(y, 0), this.rows - 1e-6)];
  }

  press(event) {
    if (event.button) return;
    this.from = this.at(event);
    this.svg.setPointerCapture(event.pointerId);
  }

  move(event) {
    const [x, y] = this.at(event);
    if (this.from) this.draw(this.box(x, y));
    else this.tell(Math.floor(x), Math.floor(y), event);
  }

  release(event) {
    if (!this.from) return;
    const [x, y] = this.at(event);
    const box = this.box(x, y);
    const clicked = Math.abs(x - this.from[0]) < 0.4 && Math.abs(y - this.from[1]) < 0.4;
    this.from = null;
    if (clicked && !this.cells.has(`${Math.floor(x)},${Math.floor(y)}`)) this.brush?.remove();
    else this.narrow(box);
  }

  box(x, y) {
    const [a, b] = this.from;
    return {
      left: Math.floor(Math.min(a, x)),
      right: Math.floor(Math.max(a, x)) + 1,
      low: Math.floor(Math.min(b, y)),
      high: Math.floor(Math.max(b, y)) + 1,
    };
  }

  draw({ left, right, low, high }) {
    this.brush ??= this.svg.appendChild(document.createElementNS(SVG, "rect"));
    this.brush.setAttribute("class", "brush");
    this.brush.setAttribute("x", left * 10);
    this.brush.setAttribute("y", (this.rows - high) * 10);
    this.brush.setAttribute("width", (right - left) * 10);
    this.brush.setAttribute("height", (high - low) * 10);
  }

  narrow({ left, right, low, high }) {
    const url = new URL(this.dataset.here, location.href);
    const iso = (column) => new Date((this.start + column * this.width) * 1000).toISOString().replace(".000", "");
    url.searchParams.set("since", iso(left));
    url.searchParams.set("until", iso(right));
    const other = this.dataset.query.split(/\s+/).filter((term) => term && !/^duration_ms\b/.test(term));
    if (low > 0) other.push(`duration_ms:>=${this.edges[low]}`);
    if (high < this.rows) other.push(`duration_ms:<${this.edges[high]}`);
    url.searchParams.set("q", other.join(" "));
    location.assign(url);
  }

  tell(column, row, event) {
    const found = this.cells.get(`${column},${row}`);
    if (!found) return this.hush();
    this.tip ??= Object.assign(this.appendChild(document.createElement("div")), { className: "tip" });
    const [count, errors] = found;
    const moment = new Date((this.start + column * this.width) * 1000).toISOString().slice(5, 16).replace("T", " ");
    const spans = `${duration(this.edges[row])} – ${duration(this.edges[row + 1])}`;
    this.tip.textContent = `${moment}, ${spans}: ${count} ${count === 1 ? "trace" : "traces"}${errors ? `, ${errors} failed` : ""}`;
    this.tip.hidden = false;
    const box = this.getBoundingClientRect();
    const half = this.tip.offsetWidth / 2;
    const x = Math.min(Math.max(event.clientX - box.left, half), box.width - half);
    this.tip.style.left = `${x - half}px`;
    this.tip.style.top = `${event.clientY - box.top - 34}px`;
  }

  hush() {
    if (this.tip) this.tip.hidden = true;
  }
}

function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toPrecision(2)} s`;
  return ms < 3_600_000 ? `${Math.round(ms / 60_000)} m` : `${(ms / 3_600_000).toFixed(1)} h`;
}

customElements.define("heat-map", HeatMap);
