// What everybody may see, on the screen.

import * as charts from "./charts.js";
import { clock, ct, day, element, fill, kwh, moment } from "./format.js";
import { $, book, label, limits, market, now, start, tape, traded, until } from "./state.js";

const SLOTS_SHOWN = 96;
const LEVELS_SHOWN = 10;

const amount = (wh) => (wh < charts.ANY ? kwh(wh) : "any, utility");

/** The open slots in both lists; where the chosen one has closed, the next one is chosen, and said. */
export function slotChoices() {
  const slots = [...market.slots.keys()].sort((a, b) => a - b);
  for (const id of ["slot", "order-slot"]) {
    const select = $(id);
    const chosen = Number(select.value);
    if ([...select.options].map((option) => Number(option.value)).join() === slots.join()) continue;
    select.replaceChildren(...slots.map((slot) => element("option", `${day(start(slot))} ${label(slot)}`, { value: slot })));
    const next = slots.includes(chosen) ? chosen : (slots.find((slot) => slot > chosen) ?? slots.at(-1) ?? "");
    select.value = String(chosen ? next : slots.at(-1) ?? "");
    if (id === "order-slot" && chosen && next !== chosen && $("order-price").value)
      $("order-answer").textContent = `Delivery ${label(chosen)} has closed${next ? `; ${label(next)} is chosen now` : ""}.`;
  }
}

/** The market's time, and how long the chosen slot still trades. */
export function ticks() {
  if (now()) $("clock").textContent = `${day(new Date(now()))} ${clock(new Date(now()))} UTC`;
  const gate = market.slots.get(Number($("slot").value))?.gate;
  const left = gate ? Math.max(0, Math.round(until(gate))) : 0;
  $("gate").textContent = gate ? `gate closes at ${clock(moment(gate))}, in ${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")} min` : "";
}

/** A limit of the wires in words. */
export function limitName(text) {
  const [, kind, name, side] = text.match(/^(bus|branch):(.*?)(?::(high|low|vuf))?$/) ?? [];
  if (kind === "branch") return `${name} is full`;
  if (kind === "bus") return side === "vuf" ? `phases too unequal at ${name}` : `voltage too ${side} at ${name}`;
  return text === "diverged" ? "no state of the grid was found" : text;
}

export const draw = {
  book() {
    const { bids, asks } = book.levels(Number($("slot").value));
    charts.depth(bids, asks);
    const best = ([level], side) => {
      if (!level) return `no ${side}`;
      return `${side} ${ct(level[0])} ct/kWh for ${level[1] < charts.ANY ? `${kwh(level[1])} kWh` : "any energy"}`;
    };
    const waits = bids[0]?.[0] - (market.settings?.grid_fee ?? 0) >= asks[0]?.[0];
    $("book-text").textContent =
      `Best prices: ${best(bids, "bid")}, ${best(asks, "ask")}.${waits ? " What would match waits for room on the wires." : ""}`;
    const count = Math.min(LEVELS_SHOWN, Math.max(bids.length, asks.length));
    fill($("ladder"), Array.from({ length: count }, (_, place) => {
      const [bid, ask] = [bids[place], asks[place]];
      return [place, bid ? amount(bid[1]) : "", bid ? ct(bid[0]) : "", ask ? ct(ask[0]) : "", ask ? amount(ask[1]) : ""];
    }));
  },
  price() {
    if (!market.settings) return;
    const slots = [...traded].sort((a, b) => a[0] - b[0]).slice(-SLOTS_SHOWN);
    charts.price(slots.map(([slot, sum]) => ({ ...sum, time: start(slot) })));
    if (!slots.length) return;
    const [slot, sum] = slots.at(-1);
    $("price-text").textContent =
      `Trades by time of delivery. For ${label(slot)} so far ${(sum.wh / 1e3).toFixed(1)} kWh at ${ct(sum.money / sum.wh)} ct/kWh on average.`;
  },
  tape() {
    fill($("tape"), tape.map((trade) =>
      [trade.trade, clock(new Date(trade.time)), label(trade.slot), ct(trade.price), kwh(trade.quantity), trade.source || "–"]));
  },
  forecast() {
    const lines = [...market.forecast.values()].sort((a, b) => a.slot - b.slot);
    charts.forecast(lines.map((line) => ({ ...line, time: start(line.slot) })));
    $("forecast-text").textContent = lines.length
      ? `What flows anyway. For ${label(lines[0].slot)}: ${(lines[0].supply / 1e3).toFixed(1)} kWh fed in, ${(lines[0].demand / 1e3).toFixed(1)} kWh drawn.`
      : "No slot trades now.";
  },
  map() {
    if (!market.feeder) return;
    charts.map(market.feeder, market.grid);
    if (!market.grid) return;
    const { slot, u_pu, loading, loss_w, source_w } = market.grid;
    const voltages = Object.entries(u_pu).sort((a, b) => Math.abs(b[1] - 1) - Math.abs(a[1] - 1));
    const branches = Object.entries(loading).sort((a, b) => b[1] - a[1]);
    const [branch, most] = branches[0] ?? ["–", 0];
    const [low, high] = market.feeder.band;
    const values = voltages.map(([, value]) => value);
    const flow = `${(Math.abs(source_w) / 1e3).toFixed(1)} kW ${source_w < 0 ? "to" : "from"} the substation`;
    $("grid-text").textContent =
      `Delivery ${label(slot)}: voltages from ${Math.min(...values).toFixed(4)} to ${Math.max(...values).toFixed(4)} pu of ${low} to ${high}, ` +
      `fullest branch ${branch} at ${(most * 100).toFixed(0)} %, losses ${(loss_w / 1e3).toFixed(2)} kW, ${flow}.`;
    if (!$("grid-figures").open) return;
    fill($("branches"), branches.map(([name, share]) => [name, name, `${(share * 100).toFixed(1)} %`]));
    fill($("buses"), voltages.map(([name, value]) => [name, name, value.toFixed(4)]));
  },
  limits() {
    const lines = [...limits].sort((a, b) => b[1].times - a[1].times);
    const times = lines.reduce((sum, [, { times: more }]) => sum + more, 0);
    $("limits-table").hidden = !lines.length;
    $("limits-text").textContent = lines.length
      ? `${times} ${times === 1 ? "match was" : "matches were"} trimmed or refused, so that no limit breaks.`
      : "Nothing so far: the wires carried every match in full.";
    fill($("limits"), lines.map(([name, sum]) => [name, limitName(name), sum.times, kwh(sum.wanted), kwh(sum.admitted)]));
  },
};
