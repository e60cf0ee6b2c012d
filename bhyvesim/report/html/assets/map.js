// Draws what the view shows: an overview, memmaps, entries, tables, a step's changes, marks.

const SVG = "http://www.w3.org/2000/svg";
const LANES = { overview: 4, marks: 24, areas: 54, entries: 122, dirty: 166, tables: 200, step: 232 };
const AXIS = 260;
const HEIGHT = 298;
const COLOURS = 6;

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function segmentClass({ segment }) {
  return segment === null ? "segment-apic" : `segment-${segment % COLOURS}`;
}

class GuestMap {
  constructor(svg, data) {
    this.svg = svg;
    this.data = data;
    this.scale = new Scale(data.scale);
    this.view = new View(this.scale, () => this.draw());
    this.chosen = null;
    this.step = null;
    svg.setAttribute("height", HEIGHT);
    new ResizeObserver(() => this.draw()).observe(svg);
  }

  get width() {
    return this.svg.clientWidth || 320;
  }

  x(address) {
    const { from, to } = this.view;
    return ((this.scale.place(address) - from) / (to - from)) * this.width;
  }

  placeAt(x) {
    return this.view.from + (x / this.width) * (this.view.to - this.view.from);
  }

  addressAt(x) {
    return this.scale.address(this.placeAt(x));
  }

  choose(address) {
    this.chosen = address;
    this.draw();
  }

  showStep(changes) {
    this.step = changes;
    this.draw();
  }

  draw() {
    this.svg.replaceChildren(this.hatch());
    this.overview();
    this.gaps();
    this.areas();
    this.lane("entries", 24, this.data.entries, "Entries", () => "present");
    this.lane("dirty", 12, this.data.entries.filter((row) => row[3]), "Dirty", () => "dirty", 3);
    this.lane("tables", 10, this.data.tables, "Leaf tables", () => "table");
    if (this.step) this.lane("step", 14, this.step, "Changed in the step", (row) => row[3]);
    this.axis();
    this.marks();
    if (this.chosen !== null) this.cross(this.chosen, "chosen", LANES.areas - 12);
  }

  add(name, attributes, text) {
    return this.svg.appendChild(shape(name, attributes, text));
  }

  hatch() {
    const pattern = shape("pattern", {
      id: "hatch", width: 8, height: 8, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)",
    });
    pattern.append(shape("line", { x1: 0, y1: 0, x2: 0, y2: 8, class: "hatch" }));
    return pattern;
  }

  overview() {
    const whole = (place) => place * this.width;
    for (const area of this.data.areas) {
      const x = whole(this.scale.place(area.start));
      const width = Math.max(1, whole(this.scale.place(area.end - 1)) - x);
      this.add("rect", { x, y: LANES.overview, width, height: 8, class: segmentClass(area) });
    }
    const x = whole(this.view.from);
    const width = Math.max(3, whole(this.view.to) - x);
    this.add("rect", { x, y: LANES.overview - 2, width, height: 12, class: "frame" });
  }

  // The visible part of [start, end) in pixels, or null.
  clip(start, end) {
    const from = Math.max(-2, this.x(start));
    const to = Math.min(this.width + 2, end >= this.scale.end ? this.x(end - 1) : this.x(end));
    return to < 0 || from > this.width ? null : { x: from, width: Math.max(1, to - from) };
  }

  gaps() {
    for (const { start, end, gap } of this.scale.pieces) {
      const seen = gap && this.clip(start, end);
      if (!seen) continue;
      this.add("rect", { ...seen, y: LANES.areas, height: AXIS - LANES.areas, class: "gap" });
    }
  }

  areas() {
    for (const area of this.data.areas) {
      const seen = this.clip(area.start, area.end);
      if (!seen) continue;
      this.add("rect", { ...seen, y: LANES.areas, height: 44, class: `area ${segmentClass(area)}` });
      this.label(seen, area);
    }
  }

  label({ x, width }, { name, rights, start, end }) {
    const room = Math.floor((Math.min(x + width, this.width) - Math.max(0, x) - 10) / 7.3);
    const from = Math.max(0, x) + 6;
    const size = `${sizeOf(end - start)} ${rights}`;
    if (room >= Math.min(name.length, 3)) {
      const shown = name.length <= room ? name : `${name.slice(0, room - 1)}…`;
      this.add("text", { x: from, y: LANES.areas + 18, class: "label" }, shown);
    }
    if (room >= size.length) this.add("text", { x: from, y: LANES.areas + 35 }, size);
  }

  // Stretches as boxes; those that fall on one pixel are one box.
  lane(lane, height, rows, name, kind, counted = 2) {
    const y = LANES[lane];
    this.add("text", { x: 6, y: y - 4, class: "name" }, name);
    let last = null;
    for (const row of rows) {
      const seen = this.clip(row[0], row[1]);
      if (!seen) continue;
      const type = kind(row);
      if (last && last.type === type && seen.x + seen.width < last.right + 0.5) continue;
      const box = this.add("rect", { ...seen, y, height, class: type });
      if (typeof row[counted] === "number") {
        const share = (row[counted] * (lane === "tables" ? 512 : 1) * PAGE) / (row[1] - row[0]);
        box.setAttribute("fill-opacity", Math.min(1, 0.3 + 0.7 * share).toFixed(2));
      }
      last = { type, right: seen.x + seen.width };
    }
  }

  axis() {
    this.add("line", { x1: 0, x2: this.width, y1: AXIS, y2: AXIS, class: "edge" });
    const taken = [];
    for (const address of this.edges()) this.tick(address, "edge", taken, AXIS + 16);
    for (const address of this.ticks()) this.tick(address, "tick", taken, AXIS + 16);
  }

  // Where memmaps begin and end; first where they touch, whose names matter most.
  edges() {
    const all = this.data.areas.flatMap(({ start, end }) => [start, end]);
    const shared = (address) => all.indexOf(address) !== all.lastIndexOf(address);
    const seen = [...new Set(all)].filter((address) => {
      const x = this.x(address);
      return x >= 0 && x <= this.width;
    });
    return seen.sort((one, other) => shared(other) - shared(one) || one - other);
  }

  // Round addresses, as near to each other as there is room for their names.
  ticks() {
    return this.scale.pieces.flatMap(({ start, end }) => {
      const from = Math.max(start, this.addressAt(0));
      const to = Math.min(end, this.addressAt(this.width));
      const pixels = this.x(to - 1) - this.x(from);
      if (!(to > from) || pixels < 60) return [];
      const step = Math.max(PAGE, 2 ** Math.ceil(Math.log2(((to - from) / pixels) * 110)));
      const found = [];
      for (let at = Math.ceil(from / step) * step; at < to; at += step) found.push(at);
      return found;
    });
  }

  tick(address, kind, taken, y) {
    const x = this.x(address);
    const text = hex(address);
    const half = text.length * 3.8;
    const middle = Math.min(this.width - half - 2, Math.max(half + 2, x));
    this.add("line", { x1: x, x2: x, y1: kind === "edge" ? LANES.areas : AXIS, y2: AXIS + 5, class: kind });
    const row = [y, y + 14].find((at) => !taken.some(
      (other) => other.y === at && Math.abs(other.middle - middle) < other.half + half + 8,
    ));
    if (row === undefined || (kind === "tick" && row !== y)) return;
    taken.push({ middle, half, y: row });
    this.add("text", { x: middle, y: row, "text-anchor": "middle", class: kind }, text);
  }

  marks() {
    const groups = this.markGroups();
    groups.forEach(({ x, address, numbers }, index) => {
      this.cross(address, "mark", LANES.marks + 12);
      this.add("circle", { cx: x, cy: LANES.marks + 8, r: 5, class: "mark" });
      const room = (groups[index + 1]?.x ?? this.width) - x - 18;
      const before = x - (groups[index - 1]?.x ?? 0) - 18;
      const short = numbers.join(", ");
      const long = `${short}: ${hex(address)}`;
      const text = [long, short].find((one) => one.length * 7.4 < Math.max(room, before));
      if (text === undefined) return;
      const right = text.length * 7.4 < room;
      const anchor = right ? "start" : "end";
      const at = { x: right ? x + 9 : x - 9, y: LANES.marks + 12, "text-anchor": anchor };
      this.add("text", { ...at, class: "mark" }, text);
    });
  }

  // The marks that are seen; those that cannot be told apart are one.
  markGroups() {
    const groups = [];
    this.data.marks.forEach(([address], index) => {
      const x = this.x(address);
      if (x < 0 || x > this.width) return;
      const last = groups.at(-1);
      if (last && x - last.x < 12) last.numbers.push(index + 1);
      else groups.push({ x, address, numbers: [index + 1] });
    });
    return groups;
  }

  cross(address, kind, top) {
    const x = this.x(address);
    if (x < 0 || x > this.width) return;
    this.add("line", { x1: x, x2: x, y1: top, y2: AXIS, class: kind });
  }

  // What there is at *address*, in words.
  told(address) {
    const area = this.data.areas.find(({ start, end }) => start <= address && address < end);
    const marks = this.data.marks.filter(([at]) => at === address - (address % PAGE));
    const slots = [4, 3, 2, 1].map((level) => Math.floor(address / 2 ** (3 + 9 * level)) % 512);
    return [
      hex(address),
      area ? `${area.name} + ${hex(address - area.start)}, ${area.rights}` : "no memmap",
      this.entriesAt(address),
      `entries ${slots.join(", ")} of its tables`,
      ...marks.map(([, note]) => note),
    ].join(" · ");
  }

  entriesAt(address) {
    const row = this.data.entries.find(([start, end]) => start <= address && address < end);
    if (!row) return "no entry";
    const [start, end, held, dirty, rights] = row;
    const pages = (end - start) / PAGE;
    if (held < pages) return `${held} of ${pages} pages here present, ${dirty} dirty`;
    return `present ${rights}${dirty === held ? ", dirty" : dirty ? `, ${dirty} pages dirty` : ""}`;
  }
}

function sizeOf(bytes) {
  const units = ["B", "K", "M", "G", "T"];
  let power = 0;
  while (power < 4 && bytes >= 1024) {
    bytes /= 1024;
    power += 1;
  }
  return `${Number(bytes.toFixed(1))}${units[power]}`;
}
