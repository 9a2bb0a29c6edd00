// <pan-zoom data-width data-height>: moves and scales the svg inside it. Drag to move, pinch or Ctrl and the wheel to
// scale, buttons for all of it. Without it the svg stands at its size in a box that scrolls.

class PanZoom extends HTMLElement {
  connectedCallback() {
    this.svg = this.querySelector("svg");
    if (!this.svg) return;
    this.whole = { x: 0, y: 0, width: Number(this.dataset.width), height: Number(this.dataset.height) };
    this.classList.add("ready");
    this.svg.removeAttribute("width");
    this.svg.removeAttribute("height");
    this.svg.setAttribute("preserveAspectRatio", "xMidYMin meet");
    this.buttons();
    this.first();
    this.pointers = new Map();
    this.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.addEventListener("pointerdown", (event) => this.down(event));
    this.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel", "pointerleave"]) this.addEventListener(name, (event) => this.up(event));
    // A drag that ends on a box is no click on it.
    this.addEventListener("click", (event) => this.moved && event.preventDefault(), true);
    this.observer = new ResizeObserver(() => this.touched || this.first());
    this.observer.observe(this);
  }

  disconnectedCallback() {
    this.observer?.disconnect();
  }

  buttons() {
    const bar = document.createElement("div");
    bar.className = "zoom-bar";
    for (const [label, words, then] of [
      ["+", "Closer", () => this.scale(1 / 1.3)],
      ["−", "Further", () => this.scale(1.3)],
      ["1:1", "Full size", () => this.first(true)],
      ["fit", "All of it", () => this.fit()],
    ]) {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "button small", textContent: label, title: words });
      button.setAttribute("aria-label", words);
      button.addEventListener("click", () => {
        this.touched = true;
        then();
      });
      bar.append(button);
    }
    this.append(bar);
  }

  // At full size where it fits or nearly does; else as small as words stay legible, the top in sight.
  first(full = false) {
    const box = this.svg.getBoundingClientRect();
    if (!box.width) return;
    const fits = box.width / this.whole.width;
    const scale = full ? 1 : Math.max(Math.min(fits, 1), 0.8);
    const width = box.width / scale;
    // As tall as the drawing where that is less than the window has.
    const room = Math.min(Math.max(innerHeight - 250, 360), 900);
    const height = Math.min(this.whole.height, room / scale);
    this.svg.style.height = `${Math.round(height * scale)}px`;
    this.show({ x: width > this.whole.width ? (this.whole.width - width) / 2 : 0, y: 0, width, height });
  }

  // All of it, however small.
  fit() {
    const box = this.svg.getBoundingClientRect();
    const scale = Math.min(box.width / this.whole.width, box.height / this.whole.height);
    this.show({ x: (this.whole.width - box.width / scale) / 2, y: 0, width: box.width / scale, height: box.height / scale });
  }

  show(view) {
    this.view = view;
    this.svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
  }

  scale(by, at = { x: 0.5, y: 0.5 }) {
    const width = Math.min(Math.max(this.view.width * by, 200), this.whole.width * 4);
    const height = (width * this.view.height) / this.view.width;
    const x = this.view.x + (this.view.width - width) * at.x;
    const y = this.view.y + (this.view.height - height) * at.y;
    this.show({ x, y, width, height });
  }

  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.touched = true;
    const box = this.svg.getBoundingClientRect();
    this.scale(Math.exp(event.deltaY / 300), { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height });
  }

  down(event) {
    if (event.button || event.target.closest(".zoom-bar")) return;
    this.pointers.set(event.pointerId, event);
    this.moved = false;
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const ratio = this.view.width / this.svg.getBoundingClientRect().width;
    const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
    if (!this.moved && Math.abs(dx) + Math.abs(dy) < 5) return;
    if (!this.moved) this.setPointerCapture(event.pointerId);
    this.moved = this.touched = true;
    if (this.pointers.size === 2) {
      const other = [...this.pointers.values()].find((one) => one.pointerId !== event.pointerId);
      const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
      this.scale(apart(before) / apart(event));
    } else this.show({ ...this.view, x: this.view.x - dx * ratio, y: this.view.y - dy * ratio });
    this.pointers.set(event.pointerId, event);
  }

  up(event) {
    this.pointers.delete(event.pointerId);
  }

  // Brings a place of the drawing into sight.
  reveal(x, y) {
    if (!this.view) return;
    const { width, height } = this.view;
    if (x > this.view.x && x < this.view.x + width && y > this.view.y && y < this.view.y + height) return;
    this.touched = true;
    this.show({ x: x - width / 2, y: y - height / 2, width, height });
  }
}

customElements.define("pan-zoom", PanZoom);
