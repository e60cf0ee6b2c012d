// What is typed or followed, as places on the map.

const UNITS = { "": 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

// An address as the command line reads it; hex without 0x where nothing else is meant.
function parseAddress(text) {
  const number = /^(0x[0-9a-f]+|[0-9]+)\s*([kmgt]?)(?:i?b)?$/i.exec(text);
  if (number) return Number(number[1]) * UNITS[number[2].toLowerCase()];
  return /^[0-9a-f]*[a-f][0-9a-f]*$/i.test(text) ? Number(`0x${text}`) : null;
}

class Search {
  constructor(map, form, chips, goTo) {
    this.map = map;
    this.input = form.querySelector("input");
    this.goTo = goTo;
    this.last = { text: "", index: -1 };
    this.places = [
      ...map.data.areas.map(({ name, start, end }) => ({ name, start, end, mark: false })),
      ...map.data.marks.map(([start, note], index) => (
        { name: `${index + 1} ${note}`, start, end: start + PAGE, mark: true }
      )),
    ];
    this.offer(form.querySelector("datalist"), chips);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.find(this.input.value.trim());
    });
  }

  offer(list, chips) {
    for (const place of this.places) {
      const option = document.createElement("option");
      option.value = place.mark ? hex(place.start) : place.name;
      list.append(option);
      const chip = document.createElement("button");
      chip.type = "button";
      chip.textContent = place.mark ? place.name : `${place.name} ${hex(place.start)}`;
      chip.classList.toggle("mark", place.mark);
      chip.addEventListener("click", () => this.goTo(place.start, place.end));
      chips.append(chip);
    }
  }

  // Names come before addresses: a segment may be called "face".
  find(text) {
    const wanted = text.toLowerCase();
    const named = wanted ? this.places.filter(({ name }) => name.toLowerCase().includes(wanted)) : [];
    const address = parseAddress(text);
    if (named.length && !/^(0x|[0-9])/i.test(text)) this.goTo(...this.next(wanted, named));
    else if (address !== null && address < 2 ** 52) this.goTo(address, address + 1);
    else if (named.length) this.goTo(...this.next(wanted, named));
    else this.goTo(null, null, text);
  }

  // The same text again leads to the next of that name.
  next(text, named) {
    const index = this.last.text === text ? (this.last.index + 1) % named.length : 0;
    this.last = { text, index };
    return [named[index].start, named[index].end];
  }
}
