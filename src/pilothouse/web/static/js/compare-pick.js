// <compare-pick>: boxes in a list of traces; with two of them ticked a button compares them, the older one first.

class ComparePick extends HTMLElement {
  connectedCallback() {
    this.chosen = new Map();
    this.addEventListener("change", (event) => this.pick(event));
    // A live list is swapped below us: what was ticked stays ticked.
    this.watch = new MutationObserver(() => this.restore());
    this.watch.observe(this, { childList: true, subtree: true });
    this.restore();
  }

  disconnectedCallback() {
    this.watch.disconnect();
  }

  pick(event) {
    const box = event.target.closest?.(".pick");
    if (!box) return;
    if (box.checked) this.chosen.set(box.value, box.dataset.start);
    else this.chosen.delete(box.value);
    if (this.chosen.size > 2) this.chosen.delete(this.chosen.keys().next().value);
    this.restore();
  }

  restore() {
    for (const box of this.querySelectorAll(".pick")) {
      const on = this.chosen.has(box.value);
      if (box.checked !== on) box.checked = on;
    }
    const bar = this.querySelector(".pick-bar");
    if (!bar) return;
    const ids = [...this.chosen].sort((one, other) => (one[1] < other[1] ? -1 : 1)).map(([id]) => id);
    if (bar.hidden !== !ids.length) bar.hidden = !ids.length;
    const link = bar.querySelector("a");
    const href = ids.length === 2 ? `/compare?${new URLSearchParams({ a: ids[0], b: ids[1] })}` : `/compare?b=${ids[0] ?? ""}`;
    if (link.getAttribute("href") !== href) {
      link.setAttribute("href", href);
      link.textContent = ids.length === 2 ? "Compare these two" : "Compare with…";
      bar.querySelector("span").textContent = ids.length === 2 ? "two chosen" : "one chosen; tick another, or let one be suggested";
    }
  }
}

customElements.define("compare-pick", ComparePick);
