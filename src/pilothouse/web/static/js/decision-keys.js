// <decision-keys>: around a queue or one action. j and k go to the next and the one before, a r e q d go to the way of
// deciding: they put the focus there, and Enter or a click decides. No key decides by itself.

const WAYS = ["a", "r", "e", "q", "d"];

class DecisionKeys extends HTMLElement {
  connectedCallback() {
    document.addEventListener("page-key", this.key);
    // The queue sends on with the way in the address.
    const wanted = location.hash.slice(1);
    if (WAYS.includes(wanted)) this.go(wanted);
  }

  disconnectedCallback() {
    document.removeEventListener("page-key", this.key);
  }

  go(key) {
    const way = this.querySelector(`[data-key="${key}"]`);
    if (!way) return false;
    const folded = way.closest("details");
    if (folded) folded.open = true;
    const field = way.matches("summary") ? folded.querySelector("textarea, input:not([type=hidden])") : way;
    (field || way).focus();
    way.scrollIntoView({ block: "center" });
    return true;
  }

  key = (event) => {
    const { key } = event.detail;
    if (this.hasAttribute("data-list")) {
      const row = this.querySelector('[aria-selected="true"]') || this.querySelector("[data-href]");
      if (!row || !WAYS.includes(key)) return;
      location.assign(`${row.dataset.href}#${key}`);
      event.preventDefault();
      return;
    }
    const way = document.querySelector(`a[data-key="${key}"]`);
    if ((key === "j" || key === "k") && way) way.click();
    else if (!WAYS.includes(key) || !this.go(key)) return;
    event.preventDefault();
  };
}

customElements.define("decision-keys", DecisionKeys);
