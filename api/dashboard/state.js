// What the page knows of the market, and the market's time.

import { Book } from "./book.js";
import { clock, moment } from "./format.js";

/** Trades and notices that are kept for the screen. */
export const KEPT = 60;

export const market = { settings: null, slots: new Map(), forecast: new Map(), feeder: null, grid: null };
export const book = new Book();
/** Delivery slot -> energy and price × energy of its trades. */
export const traded = new Map();
/** The latest trades, latest first. */
export const tape = [];
/** Limit of the wires -> how often it bound, and what was wanted and carried. */
export const limits = new Map();
export const own = { name: "", orders: new Map(), trades: new Map(), account: null };
/** Parts of the screen that are to be drawn anew. */
export const dirty = new Set();

export const $ = (id) => document.getElementById(id);
export const start = (slot) => moment(slot * market.settings.slot_seconds * 1e9);
export const label = (slot) => (market.settings ? clock(start(slot)) : String(slot));

// The market's time passes `speed` times as fast as ours while we are connected, and stands still while we are not.
const time = { heard: 0, at: 0, speed: 1, runs: false };

/** The market's time [ms since 1970], as far as it was heard of; 0 if it was not. */
export function now() {
  return time.heard && time.runs ? time.heard + (performance.now() - time.at) * time.speed : time.heard;
}

/** The market has said what time it is, in ISO 8601; empty before its clock was set. */
export function hear(text) {
  const told = text ? Date.parse(text) : 0;
  if (told > now()) Object.assign(time, { heard: told, at: performance.now() });
}

/** The connection has come, with the market's speed, or gone. */
export function run(speed) {
  const reached = now();
  Object.assign(time, { heard: speed ? 0 : reached, at: performance.now(), speed: speed || 1, runs: Boolean(speed) });
}

/** Seconds of ours until a moment of the market [ns since 1970]. */
export const until = (ns) => (ns / 1e6 - now()) / 1e3 / time.speed;

/** Put a line into the list of alarms and notices. */
export function notice(text, kind = "") {
  const at = now() ? `${clock(new Date(now()))} ` : "";
  const line = document.createElement("li");
  line.textContent = `${at}${text}`;
  line.className = kind;
  $("no-alarms").hidden = true;
  $("alarms").hidden = false;
  $("alarms").prepend(line);
  while ($("alarms").childElementCount > KEPT) $("alarms").lastElementChild.remove();
}
