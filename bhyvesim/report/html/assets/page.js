// Brings the page to life; everything but the map is there without it.

const byId = (id) => document.getElementById(id);

function themes(button) {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const say = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    say();
  });
  system.addEventListener("change", say);
  button.hidden = false;
  say();
}

function keys(map) {
  const { view } = map;
  const actions = {
    "+": () => view.zoom(2), "=": () => view.zoom(2), "-": () => view.zoom(0.5), 0: () => view.all(),
    ArrowLeft: () => view.move(-0.2), ArrowRight: () => view.move(0.2), Home: () => view.all(),
  };
  map.svg.addEventListener("keydown", (event) => {
    if (!actions[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    actions[event.key]();
  });
}

function wheel(map) {
  map.svg.addEventListener("wheel", (event) => {
    if (event.deltaY > 0 && map.view.whole) return; // the page scrolls on
    event.preventDefault();
    map.view.zoom(2 ** (-event.deltaY / 240), map.placeAt(event.offsetX));
  }, { passive: false });
}

// One pointer drags, two pinch; one that hardly moved chooses an address.
function pointers(map, choose) {
  const { svg, view } = map;
  const down = new Map();
  let moved = 0;
  const spread = () => {
    const [one, other] = [...down.values()];
    return Math.max(8, Math.abs(one - other));
  };
  const left = () => svg.getBoundingClientRect().left;
  svg.addEventListener("pointerdown", (event) => {
    svg.setPointerCapture(event.pointerId);
    down.set(event.pointerId, event.clientX);
    if (down.size === 1) moved = 0;
  });
  svg.addEventListener("pointermove", (event) => {
    if (!down.has(event.pointerId)) return;
    const before = down.size === 2 ? spread() : 0;
    const by = event.clientX - down.get(event.pointerId);
    down.set(event.pointerId, event.clientX);
    moved += Math.abs(by);
    if (down.size === 2) {
      const middle = [...down.values()].reduce((sum, x) => sum + x, 0) / 2;
      view.zoom(spread() / before, map.placeAt(middle - left()));
    } else if (moved > 4) {
      view.move(-by / map.width);
    }
  });
  svg.addEventListener("pointerup", (event) => {
    if (down.size === 1 && moved <= 4) choose(map.addressAt(event.clientX - left()));
    down.delete(event.pointerId);
  });
  svg.addEventListener("pointercancel", (event) => down.delete(event.pointerId));
}

function printing() {
  const closed = () => document.querySelectorAll("details:not([open])");
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...closed()].filter((details) => !details.closest(".tree"));
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
  });
}

function start() {
  const data = JSON.parse(byId("data").textContent);
  byId("canvas").hidden = false;
  const map = new GuestMap(byId("drawing"), data);
  const choose = (address) => {
    map.choose(address);
    byId("readout").textContent = map.told(address);
  };
  const goTo = (from, to, text) => {
    if (from === null) {
      byId("readout").textContent = `Nothing is called ${text || "that"}, and it is no address.`;
    } else {
      map.view.show(from, to);
      choose(from);
    }
  };
  new Search(map, byId("search"), byId("chips"), goTo);
  new Timeline(byId("timeline"), map);
  themes(byId("theme"));
  keys(map);
  wheel(map);
  pointers(map, choose);
  printing();
  const zooms = { in: () => map.view.zoom(2), out: () => map.view.zoom(0.5), fit: () => map.view.all() };
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", zooms[button.dataset.zoom]);
  }
  for (const link of document.querySelectorAll("a[data-start]")) {
    link.addEventListener("click", () => goTo(Number(link.dataset.start), Number(link.dataset.end)));
  }
  const partly = data.bucket ? ` Entries are put together by ${sizeOf(data.bucket)}; the paler, the fewer.` : "";
  byId("scale-note").textContent =
    `What is mapped is to scale, but never too narrow to see; edges are enlarged, gaps folded.${partly}`;
  byId("readout").textContent =
    "Choose an address on the map. Wheel or + and − zoom, drag or arrows move, n and p step through time.";
  document.querySelector(".tables").open = false;
  map.draw();
}

start();
