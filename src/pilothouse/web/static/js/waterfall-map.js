// The picture of a whole trace above its rows: how much ran when, of which kind, and where it failed.
// Dragging across it chooses a stretch of time; a double click takes the whole again.

export class WaterfallMap {
  // busy: for each column [kind or -1, how many at once, failures]; chosen(from, to) gets shares of the whole.
  constructor(box, busy, kinds, chosen) {
    this.box = box;
    this.busy = busy;
    this.kinds = kinds;
    this.chosen = chosen;
    this.canvas = box.appendChild(document.createElement("canvas"));
    this.probe = Object.assign(box.appendChild(document.createElement("span")), { hidden: true });
    this.parts = ["shade", "shade", "edge", "edge"].map((name) => {
      const part = box.appendChild(document.createElement("div"));
      part.className = name;
      part.hidden = true;
      return part;
    });
    box.addEventListener("pointerdown", (event) => this.press(event));
    box.addEventListener("pointermove", (event) => this.move(event));
    box.addEventListener("pointerup", () => this.release());
    box.addEventListener("dblclick", () => chosen(0, 1));
    new ResizeObserver(() => this.draw()).observe(box);
    document.addEventListener("theme-changed", () => this.draw());
  }

  renew(busy, kinds) {
    this.busy = busy;
    this.kinds = kinds;
    this.draw();
  }

  draw() {
    const { width, height } = this.box.getBoundingClientRect();
    const ratio = devicePixelRatio || 1;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    const colours = new Map();
    const colour = (name) => {
      if (!colours.has(name)) {
        this.probe.style.color = `var(--kind-${name})`;
        colours.set(name, getComputedStyle(this.probe).color);
      }
      return colours.get(name);
    };
    const most = Math.max(...this.busy.map((cell) => cell[1]), 1);
    const step = width / this.busy.length;
    this.busy.forEach(([kind, count, failures], index) => {
      // Whole pixels, or the columns show seams.
      const left = Math.round(index * step);
      const right = Math.max(Math.round((index + 1) * step), left + 1);
      if (kind >= 0) {
        const high = Math.max((count / most) * (height - 14), 4);
        context.fillStyle = colour(this.kinds[kind]);
        context.fillRect(left, height - 4 - high, right - left, high);
      }
      if (failures) {
        context.fillStyle = colour("error");
        context.fillRect(left, 2, Math.max(right - left, 2), 5);
      }
    });
  }

  share(event) {
    const box = this.box.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
  }

  press(event) {
    if (event.button) return;
    this.start = this.share(event);
    this.box.setPointerCapture(event.pointerId);
  }

  move(event) {
    if (this.start === undefined) return;
    const now = this.share(event);
    this.range = [Math.min(this.start, now), Math.max(this.start, now)];
    this.select(this.range);
  }

  release() {
    if (this.range && this.range[1] - this.range[0] > 0.003) this.chosen(...this.range);
    this.start = this.range = undefined;
  }

  select(range) {
    const [left, right, from, to] = this.parts;
    for (const part of this.parts) part.hidden = !range;
    if (!range) return;
    left.style.cssText = `left:0;width:${range[0] * 100}%`;
    right.style.cssText = `left:${range[1] * 100}%;right:0`;
    from.style.left = `${range[0] * 100}%`;
    to.style.left = `${range[1] * 100}%`;
  }
}
