// <sql-editor>: Ctrl+Enter runs the statement; a click on a column beside it writes the column's name at the cursor.

class SqlEditor extends HTMLElement {
  connectedCallback() {
    this.area = this.querySelector("textarea");
    this.area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.querySelector("form").requestSubmit();
    });
    document.addEventListener("click", this.insert);
  }

  disconnectedCallback() {
    document.removeEventListener("click", this.insert);
  }

  insert = (event) => {
    const button = event.target.closest("[data-insert]");
    if (!button) return;
    this.area.setRangeText(button.dataset.insert, this.area.selectionStart, this.area.selectionEnd, "end");
    this.area.focus();
  };
}

customElements.define("sql-editor", SqlEditor);
