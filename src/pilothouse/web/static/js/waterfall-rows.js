// Which rows of a waterfall are shown: all, all but folded subtrees, or those a search found.

export class WaterfallRows {
  // below(row) gives the size of the subtree below a row; it is asked only for rows that are folded.
  constructor(total, below) {
    this.total = total;
    this.below = below;
    this.closed = new Set();
    this.found = null;
    this.runs = [];
  }

  get length() {
    return this.found ? this.found.length : this.total - this.hidden;
  }

  get hidden() {
    const last = this.runs.at(-1);
    return last ? last.before + last.count : 0;
  }

  // The row that stands at a place.
  at(place) {
    if (this.found) return this.found[place];
    let low = 0;
    let high = this.runs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.runs[middle].row - this.runs[middle].before < place) low = middle + 1;
      else high = middle;
    }
    const run = this.runs[low - 1];
    return run ? place + run.before + run.count : place;
  }

  // The place of a row; the place of the folded row above it where it is hidden.
  place(row) {
    if (this.found) {
      const at = this.found.indexOf(row);
      return at < 0 ? 0 : at;
    }
    let low = 0;
    let high = this.runs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.runs[middle].row < row) low = middle + 1;
      else high = middle;
    }
    const run = this.runs[low - 1];
    if (!run) return row;
    return row <= run.row + run.count ? run.row - run.before : row - run.before - run.count;
  }

  show(found) {
    this.found = found;
  }

  toggle(row) {
    if (this.closed.has(row)) this.closed.delete(row);
    else this.closed.add(row);
    this.measure();
  }

  close(rows) {
    this.closed = new Set(rows);
    this.measure();
  }

  open() {
    this.closed.clear();
    this.measure();
  }

  // Open whatever hides a row; true where anything changed.
  uncover(row) {
    const changed = this.found && !this.found.includes(row);
    if (changed) this.found = null;
    let opened = false;
    for (const head of [...this.closed]) {
      if (head < row && row <= head + this.below(head)) {
        this.closed.delete(head);
        opened = true;
      }
    }
    if (opened) this.measure();
    return Boolean(changed || opened);
  }

  // The hidden runs: the outermost folded rows in order, with how many rows are hidden before each.
  measure() {
    this.runs = [];
    let before = 0;
    let end = -1;
    for (const row of [...this.closed].sort((a, b) => a - b)) {
      if (row <= end) continue;
      const count = this.below(row) ?? 0;
      this.runs.push({ row, count, before });
      before += count;
      end = row + count;
    }
  }
}
