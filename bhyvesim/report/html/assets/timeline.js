// The steps as tabs: one is shown, and drawn on the map.

class Timeline {
  constructor(root, map) {
    this.map = map;
    this.panels = [...root.querySelectorAll(".step")];
    const bar = root.querySelector(".steps");
    if (!bar) return;
    bar.setAttribute("role", "tablist");
    this.tabs = [...bar.querySelectorAll("a")].map((link, index) => this.tab(link, index));
    bar.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("keydown", (event) => this.anywhere(event));
    this.select(this.tabs.length - 1, false);
  }

  tab(link, index) {
    const panel = this.panels[index];
    const tab = document.createElement("button");
    tab.type = "button";
    tab.id = `tab-${panel.dataset.step}`;
    tab.append(...link.childNodes);
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", panel.id);
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", tab.id);
    tab.addEventListener("click", () => this.select(index, false));
    link.replaceWith(tab);
    return tab;
  }

  select(index, focus) {
    this.index = Math.min(this.tabs.length - 1, Math.max(0, index));
    this.tabs.forEach((tab, at) => {
      tab.setAttribute("aria-selected", at === this.index);
      tab.tabIndex = at === this.index ? 0 : -1;
      this.panels[at].hidden = at !== this.index;
    });
    if (focus) this.tabs[this.index].focus();
    this.map.showStep(this.map.data.steps[this.panels[this.index].dataset.step]);
  }

  key(event) {
    const last = this.tabs.length - 1;
    const to = { ArrowLeft: this.index - 1, ArrowRight: this.index + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.select(to, true);
  }

  // n and p, wherever nothing is being typed.
  anywhere(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
    const by = { n: 1, p: -1 }[event.key];
    if (by) this.select(this.index + by, false);
  }
}
