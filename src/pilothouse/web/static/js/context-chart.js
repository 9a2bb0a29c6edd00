// <context-chart>: the picture is drawn by the server. This tells what a column holds; a click or Enter opens its step.

const SVG = "http://www.w3.org/2000/svg";
const SAID = { in_view: "in view", quoted: "quoted", gone: "out of view", none: "nobody asked", unknown: "unknown" };

class ContextChart extends HTMLElement {
  connectedCallback() {
    this.calls = JSON.parse(this.dataset.calls);
    this.plot = this.querySelector(".ctx-plot");
    this.lines = this.querySelector(".ctx-lines");
    this.plot.addEventListener("pointermove", (event) => this.show(this.column(event)));
    this.plot.addEventListener("pointerleave", () => this.hush());
    this.plot.addEventListener("click", (event) => this.open(this.column(event)));
    this.addEventListener("keydown", (event) => this.press(event));
    this.addEventListener("blur", () => this.hush());
  }

  column(event) {
    const box = this.plot.getBoundingClientRect();
    const at = Math.floor(((event.clientX - box.left) / box.width) * this.calls.length);
    return Math.min(Math.max(at, 0), this.calls.length - 1);
  }

  press(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    if (event.key in moves) {
      const at = (this.at ?? (moves[event.key] > 0 ? -1 : this.calls.length)) + moves[event.key];
      this.show(Math.min(Math.max(at, 0), this.calls.length - 1));
    } else if (event.key === "Enter" && this.at !== undefined) this.open(this.at);
    else return;
    event.preventDefault();
  }

  open(column) {
    const url = new URL(this.dataset.here, location.href);
    url.searchParams.set("step", this.calls[column][0]);
    url.hash = "call";
    location.assign(url);
  }

  show(column) {
    this.at = column;
    const [step, tokens, full, added, dropped, question, parts] = this.calls[column];
    this.tip ??= this.appendChild(Object.assign(document.createElement("div"), { className: "tip" }));
    const head = document.createElement("b");
    head.textContent = `step ${step}: ${tokens.toLocaleString("en")} tokens${full === null ? "" : `, ${full} % full`}`;
    const lines = Object.entries(parts).map(([name, size]) => `${name} ${size.toLocaleString("en")}`);
    if (added) lines.push(`new ${added.toLocaleString("en")}`);
    if (dropped) lines.push(`fell out ${dropped.toLocaleString("en")}`);
    lines.push(`question ${SAID[question]}`);
    this.tip.replaceChildren(head, lines.join("\n"));
    this.tip.hidden = false;
    const plot = this.plot.getBoundingClientRect();
    const own = this.getBoundingClientRect();
    const x = plot.left - own.left + ((column + 0.5) / this.calls.length) * plot.width;
    const beyond = x + 16 + this.tip.offsetWidth > own.width;
    const left = beyond ? x - 16 - this.tip.offsetWidth : x + 16;
    this.tip.style.left = `${Math.min(Math.max(left, 4), Math.max(own.width - this.tip.offsetWidth - 4, 4))}px`;
    this.tip.style.top = "8px";
    this.mark ??= this.lines.appendChild(document.createElementNS(SVG, "line"));
    this.mark.setAttribute("class", "at");
    for (const name of ["x1", "x2"]) this.mark.setAttribute(name, `${(100 * (column + 0.43)) / this.calls.length}%`);
    this.mark.setAttribute("y1", "0");
    this.mark.setAttribute("y2", "100%");
  }

  hush() {
    if (this.tip) this.tip.hidden = true;
    this.mark?.remove();
    this.mark = undefined;
    this.at = undefined;
  }
}

customElements.define("context-chart", ContextChart);
