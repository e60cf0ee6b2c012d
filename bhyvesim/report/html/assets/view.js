// The part of the scale that is seen, from one place to another.

const FEWEST = 6 * PAGE; // bytes; nothing is to be seen below

class View {
  constructor(scale, changed) {
    this.scale = scale;
    this.changed = changed;
    this.from = 0;
    this.to = 1;
  }

  get whole() {
    return this.from === 0 && this.to === 1;
  }

  set(from, to) {
    const width = Math.min(1, to - from);
    this.from = Math.min(1 - width, Math.max(0, from));
    this.to = this.from + width;
    this.changed();
  }

  all() {
    this.set(0, 1);
  }

  move(share) {
    const by = share * (this.to - this.from);
    this.set(this.from + by, this.to + by);
  }

  // Makes what is seen *factor* times narrower; the place *about* stays where it is.
  zoom(factor, about = (this.from + this.to) / 2) {
    const from = about - (about - this.from) / factor;
    const to = about + (this.to - about) / factor;
    const bytes = this.scale.address(to) - this.scale.address(from);
    if (factor < 1 || bytes >= FEWEST) this.set(from, to);
  }

  // Shows the addresses from *start* to *end*, and a little around them.
  show(start, end) {
    const bytes = Math.max(end - start, 24 * PAGE);
    const middle = (start + end) / 2;
    const from = this.scale.place(Math.max(0, middle - 0.55 * bytes));
    const to = this.scale.place(Math.min(this.scale.end - 1, middle + 0.55 * bytes));
    this.set(from, Math.max(to, from + 1e-12));
  }
}
