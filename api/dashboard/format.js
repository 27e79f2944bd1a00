// Whole numbers of the market as people read them, and tables of them.

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

/** A button with a name that says of what it is one. */
export function button(text, name, press) {
  const made = element("button", text, { type: "button", "aria-label": name });
  made.onclick = press;
  return made;
}

function row(key, cells) {
  const made = document.createElement("tr");
  made.dataset.key = key;
  for (const cell of cells) {
    const place = document.createElement("td");
    if (typeof cell === "function") place.append(cell());
    made.append(place);
  }
  return made;
}

/**
 * Make the rows of a table these: [[key, cell, …], …]. A cell is a text, or a function that makes an element once.
 * Rows that stay are not made anew, so that whoever is at one of their buttons stays there.
 */
export function fill(body, lines) {
  const keys = new Set(lines.map(([key]) => String(key)));
  const before = new Map();
  for (const line of [...body.rows]) {
    if (keys.has(line.dataset.key)) {
      before.set(line.dataset.key, line);
      continue;
    }
    if (line.contains(document.activeElement)) body.closest("[tabindex]").focus();
    line.remove();
  }
  lines.forEach(([key, ...cells], place) => {
    const line = before.get(String(key)) ?? row(key, cells);
    cells.forEach((cell, column) => {
      if (typeof cell !== "function" && line.cells[column].textContent !== String(cell)) line.cells[column].textContent = cell;
    });
    if (body.rows[place] !== line) body.insertBefore(line, body.rows[place] ?? null);
  });
}
