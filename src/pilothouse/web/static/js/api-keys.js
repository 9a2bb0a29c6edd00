// <api-keys data-api="/api/v1/keys">: the project's keys. A new key's secret is shown once, here, and nowhere again.

class ApiKeys extends HTMLElement {
  connectedCallback() {
    this.form = this.querySelector("form");
    this.made = this.querySelector(".made");
    this.form.hidden = false;
    this.form.addEventListener("submit", (event) => this.make(event));
    this.list();
  }

  async ask(path, options = {}) {
    const answer = await fetch(this.dataset.api + path, {
      headers: { Accept: "application/json", "Content-Type": "application/json" },
      ...options,
    }).catch(() => null);
    const body = await answer?.json().catch(() => null);
    if (!body?.ok) throw new Error(body?.error?.message ?? "the server does not answer");
    return body.data;
  }

  async list() {
    try {
      const keys = await this.ask("");
      const rows = keys.map((key) => this.row(key));
      this.querySelector("tbody").replaceChildren(...rows.reverse());
      this.querySelector(".list").hidden = false;
    } catch (error) {
      this.tell(notice("bad", error.message));
    }
  }

  row(key) {
    const row = document.createElement("tr");
    row.append(cell(key.name), cell(key.mode), cell(key.hint, "mono"), cell(key.created.slice(0, 16).replace("T", " ")));
    const last = row.insertCell();
    last.className = "num";
    if (key.revoked) {
      row.classList.add("muted");
      last.textContent = `revoked ${key.revoked.slice(0, 16).replace("T", " ")}`;
    } else last.append(this.revoker(key));
    return row;
  }

  // Two presses: the first one asks, since whoever uses the key is cut off at once.
  revoker(key) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "button small", textContent: "Revoke" });
    button.addEventListener("click", async () => {
      if (!button.dataset.asked) {
        button.dataset.asked = "yes";
        button.textContent = "Really cut it off?";
        button.classList.add("bad");
        return;
      }
      try {
        await this.ask(`/${encodeURIComponent(key.key_id)}`, { method: "DELETE" });
      } catch (error) {
        this.tell(notice("bad", error.message));
      }
      this.list();
    });
    return button;
  }

  async make(event) {
    event.preventDefault();
    const { name, mode } = Object.fromEntries(new FormData(this.form));
    try {
      const key = await this.ask("", { method: "POST", body: JSON.stringify({ name, mode }) });
      const shown = notice("", "Copy it now: only its hash is kept, so it is never shown again.");
      const secret = Object.assign(document.createElement("pre"), { className: "value secret", textContent: key.secret });
      shown.append(secret);
      this.tell(shown);
      this.form.reset();
      this.list();
    } catch (error) {
      this.tell(notice("bad", error.message));
    }
  }

  tell(what) {
    this.made.replaceChildren(what);
  }
}

function cell(text, className = "") {
  return Object.assign(document.createElement("td"), { textContent: text, className });
}

function notice(kind, text) {
  const made = Object.assign(document.createElement("div"), { className: `notice ${kind}` });
  made.append(Object.assign(document.createElement("span"), { textContent: text }));
  return made;
}

customElements.define("api-keys", ApiKeys);
