// <map-tools>: the search box and the slider of the system map work at once, and a box under the pointer shows its lines.
// Without it the form is sent, and the server does the same.

class MapTools extends HTMLElement {
  connectedCallback() {
    this.find = this.querySelector('input[name="find"]');
    this.weak = this.querySelector('input[name="weak"]');
    this.find?.addEventListener("input", () => this.search());
    this.weak?.addEventListener("input", () => this.hide());
    this.addEventListener("pointerover", (event) => this.over(event.target.closest?.("a[data-id]")));
    this.addEventListener("focusin", (event) => this.over(event.target.closest?.("a[data-id]")));
  }

  search() {
    const words = this.find.value.trim().toLowerCase();
    let first = null;
    for (const one of this.querySelectorAll("[data-words]")) {
      const fits = !words || one.dataset.words.includes(words);
      one.classList.toggle("faded", !fits);
      if (fits && words && !first && one.dataset.id) first = one;
    }
    this.classList.toggle("searching", Boolean(words));
    const place = first?.querySelector("g")?.getCTM && first.querySelector("g").transform.baseVal.consolidate()?.matrix;
    if (place) first.closest("pan-zoom")?.reveal?.(place.e + 102, place.f + 22);
  }

  hide() {
    let hidden = 0;
    for (const line of this.querySelectorAll("path[data-level]")) {
      const weak = Number(line.dataset.level) <= Number(this.weak.value);
      line.classList.toggle("weak", weak);
      hidden += weak;
    }
    const said = this.querySelector("[data-hidden]");
    if (said) said.textContent = hidden ? `${hidden} weak line${hidden === 1 ? "" : "s"} hidden.` : "";
  }

  over(box) {
    if (box === this.box) return;
    this.box = box;
    for (const line of this.querySelectorAll("path[data-from]")) {
      line.classList.toggle("near", Boolean(box) && (line.dataset.from === box.dataset.id || line.dataset.to === box.dataset.id));
    }
    this.classList.toggle("looking", Boolean(box));
  }
}

customElements.define("map-tools", MapTools);
