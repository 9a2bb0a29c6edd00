// <copy-button data-text="…">: copies its text and says so for a moment.

class CopyButton extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", () => this.copy());
  }

  async copy() {
    const said = await write(this.dataset.text);
    const use = this.querySelector("use");
    const button = this.querySelector("button");
    const icon = use.getAttribute("href");
    use.setAttribute("href", icon.replace(/#.*/, said ? "#done" : "#close"));
    button.title = said ? "Copied" : "The browser refused; select the text instead";
    setTimeout(() => use.setAttribute("href", icon.replace(/#.*/, "#copy")), 1200);
  }
}

async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // No clipboard without https: a selection still copies.
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

customElements.define("copy-button", CopyButton);
