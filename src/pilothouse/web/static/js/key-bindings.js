// <key-bindings>: the keys that work on every page, and the table of them under "?".
// Keys of a list or a view belong to that list or view; it hears them as the event "page-key" on the document.

const KEYS = [
  ["/", "to the filter line"],
  ["j k", "down and up in a list"],
  ["Enter", "open what is selected"],
  ["1 2 3 4 5", "views of a trace"],
  ["[ ]", "step before, step after"],
  ["a r e q d", "approve, reject, edit, ask, hand on: to where it is done"],
  ["1 … 9 s u n", "in a queue: choose, skip, undo, note"],
  ["Esc", "close"],
  ["g o", "overview"],
  ["g l", "live"],
  ["g t", "traces"],
  ["g s", "sessions"],
  ["g f", "fleet"],
  ["g q", "SQL"],
  ["g d", "doctor"],
  ["g a", "approvals"],
  ["g p", "policy"],
  ["?", "this table"],
];
const PLACES = { o: "/", l: "/live", t: "/traces", s: "/sessions", f: "/fleet", q: "/sql", d: "/doctor", a: "/approvals", p: "/policy" };
const LEAD_MS = 900;

class KeyBindings extends HTMLElement {
  connectedCallback() {
    document.addEventListener("keydown", (event) => this.press(event));
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const handled = this.handle(event.key, event);
    if (handled) event.preventDefault();
  }

  handle(key, event) {
    if (this.lead && performance.now() - this.lead < LEAD_MS && PLACES[key]) {
      location.assign(PLACES[key]);
      return true;
    }
    this.lead = key === "g" ? performance.now() : 0;
    if (key === "?") return this.help();
    if (key === "/") {
      const filter = document.getElementById("filter");
      filter?.focus();
      filter?.select();
      return Boolean(filter);
    }
    const view = /^[1-5]$/.test(key) && document.querySelector(`a[data-key="${key}"]`);
    if (view) {
      view.click();
      return true;
    }
    // Whoever takes the key stops it here.
    const told = new CustomEvent("page-key", { detail: { key, target: event.target }, cancelable: true });
    return !document.dispatchEvent(told);
  }

  help() {
    if (!this.dialog) {
      this.dialog = document.createElement("dialog");
      const title = document.createElement("h2");
      title.textContent = "Keys";
      const table = document.createElement("table");
      for (const [keys, what] of KEYS) {
        const row = table.insertRow();
        const cell = row.insertCell();
        for (const key of keys.split(" ")) {
          const mark = document.createElement("kbd");
          mark.textContent = key;
          cell.append(mark, " ");
        }
        row.insertCell().textContent = what;
      }
      this.dialog.append(title, table);
      this.dialog.addEventListener("click", () => this.dialog.close());
      this.append(this.dialog);
    }
    if (this.dialog.open) this.dialog.close();
    else this.dialog.showModal();
    return true;
  }
}

customElements.define("key-bindings", KeyBindings);
