// <list-keys>: a list whose rows carry data-href. j and k select, Enter opens, a click anywhere on a row opens it.

class ListKeys extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", (event) => this.open(event));
    this.addEventListener("auxclick", (event) => this.open(event));
    document.addEventListener("page-key", this.key);
    // A live list is swapped below us: the selection stays on the row it was on.
    this.watch = new MutationObserver(() => this.mark(this.rows().find((row) => row.dataset.href === this.chosen)));
    this.watch.observe(this, { childList: true, subtree: true });
  }

  disconnectedCallback() {
    document.removeEventListener("page-key", this.key);
    this.watch.disconnect();
  }

  rows() {
    return [...this.querySelectorAll("[data-href]")];
  }

  open(event) {
    const row = event.target.closest("[data-href]");
    if (!row || event.target.closest("a, button, input, summary, details") || event.button === 2) return;
    if (!getSelection().isCollapsed) return;
    if (event.ctrlKey || event.metaKey || event.button === 1) window.open(row.dataset.href, "_blank", "noopener");
    else location.assign(row.dataset.href);
  }

  mark(row) {
    for (const other of this.querySelectorAll('[aria-selected="true"]')) {
      if (other !== row) other.removeAttribute("aria-selected");
    }
    if (row && row.getAttribute("aria-selected") !== "true") row.setAttribute("aria-selected", "true");
  }

  key = (event) => {
    const { key, target } = event.detail;
    if (key !== "j" && key !== "k" && key !== "Enter") return;
    const rows = this.rows();
    const at = rows.findIndex((row) => row.dataset.href === this.chosen);
    if (key === "Enter") {
      if (at < 0 || target.closest?.("a, button, summary")) return;
      location.assign(this.chosen);
    } else {
      const next = rows[Math.min(Math.max(at + (key === "j" ? 1 : -1), 0), rows.length - 1)];
      if (!next) return;
      this.chosen = next.dataset.href;
      this.mark(next);
      next.scrollIntoView({ block: "nearest" });
    }
    event.preventDefault();
  };
}

customElements.define("list-keys", ListKeys);
