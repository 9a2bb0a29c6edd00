// <theme-toggle>: a button that turns the page light or dark and remembers it in a cookie the server reads.

class ThemeToggle extends HTMLElement {
  connectedCallback() {
    this.querySelector("button").addEventListener("click", () => this.turn());
  }

  turn() {
    const root = document.documentElement;
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    const next = (root.dataset.theme || system) === "dark" ? "light" : "dark";
    root.dataset.theme = next;
    document.cookie = `pilothouse_theme=${next}; path=/; max-age=31536000; samesite=strict`;
    document.dispatchEvent(new CustomEvent("theme-changed"));
  }
}

customElements.define("theme-toggle", ThemeToggle);
