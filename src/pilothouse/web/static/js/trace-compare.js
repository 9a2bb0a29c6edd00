// <trace-compare>: brings the first divergence into view, and goes from difference to difference with n and p.

class TraceCompare extends HTMLElement {
  connectedCallback() {
    document.addEventListener("page-key", this.key);
    const row = this.querySelector(".cmp-row.parting");
    // An address that names a place is obeyed; a reload keeps where one was.
    const [entry] = performance.getEntriesByType("navigation");
    if (row && !location.hash && !this.querySelector(".cmp-row.shown:not(.parting)") && entry?.type === "navigate") {
      row.scrollIntoView({ block: "center" });
    }
  }

  disconnectedCallback() {
    document.removeEventListener("page-key", this.key);
  }

  key = (event) => {
    const { key } = event.detail;
    if (key !== "n" && key !== "p") return;
    const rows = [...this.querySelectorAll("[data-differs]")];
    if (!rows.length) return;
    const at = rows.indexOf(this.at ?? this.querySelector(".cmp-row.parting"));
    const next = rows[Math.min(Math.max(at + (key === "n" ? 1 : -1), 0), rows.length - 1)];
    this.at?.classList.remove("at");
    this.at = next;
    next.classList.add("at");
    next.querySelector(".mark").focus({ preventScroll: true });
    next.scrollIntoView({ block: "center" });
    event.preventDefault();
  };
}

customElements.define("trace-compare", TraceCompare);
