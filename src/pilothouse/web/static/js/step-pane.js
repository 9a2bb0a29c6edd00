// <step-pane data-url="/traces/…">: shows one step beside a view of its trace. Links that carry data-step open it;
// [ and ] go to the step before and after; Esc closes. The address follows, so what is seen can be shared.

class StepPane extends HTMLElement {
  connectedCallback() {
    this.pane = this.querySelector(".pane");
    this.addEventListener("click", (event) => this.click(event));
    document.addEventListener("page-key", this.key);
    if (this.dataset.step) this.show(Number(this.dataset.step), { quiet: true });
  }

  disconnectedCallback() {
    document.removeEventListener("page-key", this.key);
  }

  click(event) {
    if (event.target.closest("[data-close]")) return this.close();
    const link = event.target.closest("a[data-step]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    this.show(Number(link.dataset.step));
  }

  async show(step, { quiet = false } = {}) {
    this.step = this.turn = step;
    this.classList.add("with-pane");
    this.mark();
    if (!quiet) this.remember();
    const answer = await fetch(`${this.dataset.url}/spans/${step}?part=pane`, { headers: { Accept: "text/html" } }).catch(() => null);
    if (this.step !== step) return;
    if (answer?.redirected) return location.reload();
    if (answer?.ok) this.pane.replaceChildren(fragment(await answer.text()));
    else this.pane.textContent = `Step ${step} could not be loaded${answer ? ` (${answer.status})` : ": the server does not answer"}.`;
    this.pane.scrollTop = 0;
    this.later(step);
    this.dispatchEvent(new CustomEvent("step-shown", { detail: { step }, bubbles: true }));
  }

  // Parts the server takes longer for come after the rest.
  async later(step) {
    for (const part of this.pane.querySelectorAll("[data-later]")) {
      const answer = await fetch(part.dataset.later).catch(() => null);
      if (this.step !== step) return;
      if (answer?.ok) part.replaceChildren(fragment(await answer.text()));
    }
  }

  close() {
    this.classList.remove("with-pane");
    this.step = null;
    this.pane.replaceChildren();
    this.mark();
    this.remember();
    this.dispatchEvent(new CustomEvent("step-shown", { detail: { step: null }, bubbles: true }));
  }

  mark() {
    for (const old of this.querySelectorAll('.turn[aria-selected="true"]')) old.removeAttribute("aria-selected");
    const turn = this.querySelector(`#s${this.step}`);
    turn?.setAttribute("aria-selected", "true");
    turn?.closest("details")?.setAttribute("open", "");
    turn?.scrollIntoView({ block: "nearest" });
  }

  remember() {
    const url = new URL(location.href);
    if (this.step) url.searchParams.set("step", this.step);
    else url.searchParams.delete("step");
    history.replaceState(history.state, "", url);
    for (const tab of document.querySelectorAll("a[data-key]")) {
      const to = new URL(tab.href);
      if (this.step) to.searchParams.set("step", this.step);
      else to.searchParams.delete("step");
      tab.href = to;
    }
  }

  key = (event) => {
    const { key } = event.detail;
    const turns = [...this.querySelectorAll(".turn")];
    if (turns.length && (key === "j" || key === "k")) this.move(turns, key === "j" ? 1 : -1);
    else if (turns.length && key === "Enter" && this.turn && !event.detail.target.closest?.("a, button, summary")) this.show(this.turn);
    else if (key === "Escape" && this.step) this.close();
    else if (key === "[" || key === "]") this.go(key === "]" ? "next" : "prev");
    else return;
    event.preventDefault();
  };

  // Through the turns of a transcript; the pane follows where it is open.
  move(turns, by) {
    const at = turns.findIndex((turn) => Number(turn.dataset.step) === (this.turn ?? this.step));
    const next = turns[Math.min(Math.max(at + by, 0), turns.length - 1)];
    this.turn = Number(next.dataset.step);
    if (this.step) this.show(this.turn);
    else {
      for (const turn of turns) turn.setAttribute("aria-selected", turn === next);
      next.closest(".repeat details")?.setAttribute("open", "");
      next.scrollIntoView({ block: "nearest" });
    }
  }

  go(way) {
    const link = this.pane.querySelector(`a[rel="${way}"][data-step]`);
    if (link) this.show(Number(link.dataset.step));
    else if (!this.step) {
      const first = this.querySelector(".turn, .view a[data-step], .wf-row");
      if (first) this.show(Number(first.dataset.step) || 1);
    }
  }
}

// HTML of our own server as nodes.
function fragment(html) {
  const made = document.createElement("template");
  made.innerHTML = html;
  return made.content;
}

customElements.define("step-pane", StepPane);
