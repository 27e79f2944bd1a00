// Whole numbers of the market as people read them.

export const ct = (price) => (price / 1e4).toFixed(2);
export const kwh = (wh) => (wh / 1e3).toFixed(3);
export const money = (nano) => (nano / 1e9).toFixed(4);
export const moment = (ns) => new Date(ns / 1e6);
export const clock = (date) => date.toISOString().slice(11, 16);
export const day = (date) => date.toISOString().slice(0, 10);

/** An element with text and attributes; text from outside is never HTML. */
export function element(tag, text = "", attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** A row of a table: cells are text or elements. */
export function row(...cells) {
  const made = document.createElement("tr");
  for (const cell of cells) {
    const place = document.createElement("td");
    if (cell instanceof Node) place.append(cell);
    else place.textContent = cell;
    made.append(place);
  }
  return made;
}
