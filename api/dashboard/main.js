// The page: what the stream tells, on the screen.

import { Book } from "./book.js";
import * as charts from "./charts.js";
import { clock, ct, day, element, kwh, moment, money, row } from "./format.js";
import { verify } from "./proof.js";
import { Stream } from "./stream.js";

const $ = (id) => document.getElementById(id);
const TAPE = 60;
const SLOTS_SHOWN = 96;

const market = { settings: null, slots: new Map(), forecast: new Map(), feeder: null, grid: null };
const book = new Book();
const traded = new Map();
const limits = new Map();
const own = { name: "", orders: new Map(), trades: [], account: null };
const dirty = new Set();

// -- time -----------------------------------------------------------------------------------------------------------

const start = (slot) => moment(slot * market.settings.slot_seconds * 1e9);
const label = (slot) => (market.settings ? clock(start(slot)) : String(slot));

const amount = (wh) => (wh < charts.ANY ? kwh(wh) : "any, utility");

function setClock(time) {
  if (!time) return;
  const date = new Date(time);
  $("clock").textContent = `${day(date)} ${clock(date)} UTC`;
}

// -- channels -------------------------------------------------------------------------------------------------------

const channels = {
  market(message) {
    if (message.type === "snapshot") {
      market.settings = message.settings;
      $("name").textContent = `· ${message.settings.name}`;
      market.slots = new Map(message.slots.map((slot) => [slot.slot, slot]));
      market.forecast = new Map(message.forecast.map((line) => [line.slot, line]));
      setClock(message.time);
      halted(message.halts.length > 0);
    }
    for (const item of message.items ?? []) {
      if (item.type === "opened") market.slots.set(item.slot, item);
      else if (item.type === "gate_closed") {
        market.slots.delete(item.slot);
        market.forecast.delete(item.slot);
      } else if (item.type === "forecast") market.forecast.set(item.slot, item);
      else if (item.type === "halted" || item.type === "resumed") {
        halted(item.type === "halted");
        notice(`Trading ${item.type} (${item.scope}).`);
      }
    }
    slotChoices();
    dirty.add("forecast").add("book");
  },
  book(message) {
    book.take(message);
    dirty.add("book");
  },
  trades(message) {
    if (message.type === "snapshot") {
      traded.clear();
      $("tape").replaceChildren();
    }
    for (const trade of message.items) {
      const slot = traded.get(trade.slot) ?? { wh: 0, money: 0 };
      traded.set(trade.slot, slot);
      slot.wh += trade.quantity;
      slot.money += trade.price * trade.quantity;
      const line = row(clock(new Date(trade.time)), label(trade.slot), ct(trade.price), kwh(trade.quantity), trade.source || "–");
      if (message.type !== "snapshot") line.className = "new";
      $("tape").prepend(line);
      setClock(trade.time);
    }
    while ($("tape").childElementCount > TAPE) $("tape").lastElementChild.remove();
    dirty.add("price");
  },
  limits(message) {
    if (message.type === "snapshot") limits.clear();
    for (const item of message.items) {
      const name = item.constraint || "carried in full";
      const sum = limits.get(name) ?? { times: 0, wanted: 0, admitted: 0 };
      limits.set(name, sum);
      sum.times += 1;
      sum.wanted += item.wanted;
      sum.admitted += item.admitted;
    }
    dirty.add("limits");
  },
  grid(message) {
    const state = message.type === "snapshot" ? message : message.items.at(-1);
    if (state.slot === null || state.slot === undefined) return;
    market.grid = state;
    if (state.violations.length) notice(`Slot ${label(state.slot)}: beyond limits at ${state.violations.join(", ")}.`);
    dirty.add("map");
  },
  system(message) {
    for (const item of message.items ?? []) notice(item.text ?? JSON.stringify(item));
  },
  orders(message) {
    if (message.type === "snapshot") {
      own.orders = new Map(message.orders.map((order) => [order.order, order]));
    }
    for (const item of message.items ?? []) {
      const order = own.orders.get(item.order);
      if (item.type === "accepted") own.orders.set(item.order, item);
      else if (item.type === "cancelled" || item.type === "expired") own.orders.delete(item.order);
      else if (item.type === "amended" && order) Object.assign(order, { price: item.price, quantity: item.quantity });
      else if (item.type === "trade") {
        own.trades.unshift(item);
        if (order && (order.filled += item.quantity) >= order.quantity) own.orders.delete(item.order);
      }
    }
    own.trades.length = Math.min(own.trades.length, TAPE);
    dirty.add("own");
  },
  account(message) {
    own.account = message;
    dirty.add("own");
  },
};

function halted(on) {
  $("alarm").hidden = !on;
  $("alarm").textContent = on ? "Trading is halted. Cancels still work." : "";
}

function notice(text) {
  const list = $("alarms");
  if (list.firstElementChild?.textContent === "None.") list.replaceChildren();
  list.prepend(element("li", `${$("clock").textContent}: ${text}`));
  while (list.childElementCount > 50) list.lastElementChild.remove();
}

// -- screen ---------------------------------------------------------------------------------------------------------

function slotChoices() {
  const slots = [...market.slots.keys()].sort((a, b) => a - b);
  for (const id of ["slot", "order-slot"]) {
    const select = $(id);
    const chosen = Number(select.value);
    if ([...select.options].map((option) => Number(option.value)).join() === slots.join()) continue;
    select.replaceChildren(...slots.map((slot) => element("option", `${day(start(slot))} ${label(slot)}`, { value: slot })));
    select.value = String(slots.includes(chosen) ? chosen : slots.at(-1));
  }
}

const draw = {
  book() {
    const slot = Number($("slot").value);
    const { bids, asks } = book.levels(slot);
    charts.depth(bids, asks);
    const gate = market.slots.get(slot)?.gate;
    $("gate").textContent = gate ? `gate closes at ${clock(moment(gate))} UTC` : "";
    const count = Math.min(8, Math.max(bids.length, asks.length));
    $("ladder").replaceChildren(...Array.from({ length: count }, (_, place) => {
      const [bid, ask] = [bids[place], asks[place]];
      return row(bid ? amount(bid[1]) : "", bid ? ct(bid[0]) : "", ask ? ct(ask[0]) : "", ask ? amount(ask[1]) : "");
    }));
  },
  price() {
    const slots = [...traded].sort((a, b) => a[0] - b[0]).slice(-SLOTS_SHOWN);
    if (market.settings) charts.price(slots.map(([slot, sum]) => ({ ...sum, time: start(slot) })));
  },
  forecast() {
    const lines = [...market.forecast.values()].sort((a, b) => a.slot - b.slot);
    charts.forecast(lines.map((line) => ({ ...line, time: start(line.slot) })));
  },
  map() {
    if (!market.feeder) return;
    charts.map(market.feeder, market.grid);
    if (!market.grid) return;
    const voltages = Object.values(market.grid.u_pu);
    const [branch, loading] = Object.entries(market.grid.loading).sort((a, b) => b[1] - a[1])[0] ?? ["–", 0];
    $("grid-text").textContent =
      `Delivery ${label(market.grid.slot)}: voltages from ${Math.min(...voltages).toFixed(4)} to ` +
      `${Math.max(...voltages).toFixed(4)} pu, fullest branch ${branch} at ${(loading * 100).toFixed(0)} %, ` +
      `losses ${(market.grid.loss_w / 1e3).toFixed(2)} kW, from the substation ${(market.grid.source_w / 1e3).toFixed(1)} kW.`;
  },
  limits() {
    const lines = [...limits].sort((a, b) => b[1].times - a[1].times);
    $("limits-text").textContent = lines.length ? "Matches that were trimmed or refused, so that no limit breaks." : "Nothing so far.";
    $("limits").replaceChildren(...lines.map(([name, sum]) => row(name, sum.times, kwh(sum.wanted), kwh(sum.admitted))));
  },
  own() {
    $("own").hidden = !own.name;
    if (!own.name) return;
    $("who").textContent = own.name;
    const account = own.account ?? { balances: {}, forecast: [], contracted: {} };
    $("balances").replaceChildren(...Object.entries(account.balances).map(([asset, amount]) => {
      const line = document.createElement("div");
      const shown = asset === market.settings?.currency ? money(amount) : `${kwh(amount)} kWh`;
      line.append(element("dt", asset), element("dd", shown));
      return line;
    }));
    $("own-forecast").replaceChildren(...account.forecast.map((line) =>
      row(label(line.slot), line.firm_sell + line.flexible_sell, line.firm_buy + line.flexible_buy, account.contracted[line.slot] ?? 0)));
    $("orders").replaceChildren(...[...own.orders.values()].map((order) => {
      const cancel = element("button", "Cancel", { type: "button", "aria-label": `Cancel order ${order.order}` });
      cancel.onclick = () => answer({ op: "cancel", orders: [order.order] });
      return row(order.order, label(order.slot), order.side, ct(order.price), order.quantity - order.filled, cancel);
    }));
    $("own-trades").replaceChildren(...own.trades.map((trade) => {
      const check = element("button", "Verify", { type: "button", "aria-label": `Verify trade ${trade.trade}` });
      check.onclick = () => prove(trade.trade);
      return row(trade.trade, label(trade.slot), trade.side, ct(trade.price), trade.quantity, check);
    }));
  },
};

setInterval(() => {
  for (const name of dirty) {
    dirty.delete(name);
    draw[name]();
  }
}, 250);

// -- what the visitor does --------------------------------------------------------------------------------------------

async function answer(message) {
  const told = await stream.ask(message);
  const results = told.op === "answer" ? told.results : [told];
  $("order-answer").textContent = results.map((result) => {
    if (result.code) return `${result.code}: ${result.reason}`;
    const done = (result.trades ?? []).map((trade) => `${trade.quantity} Wh at ${ct(trade.price)} ct`);
    const rests = result.left ? `${result.left} Wh rest in the book` : "nothing is left in the book";
    return `Order ${result.order}: ${done.length ? `traded ${done.join(", ")}; ` : ""}${rests}.`;
  }).join(" ");
}

$("order").onsubmit = (event) => {
  event.preventDefault();
  answer({
    op: "submit",
    orders: [{
      slot: Number($("order-slot").value),
      side: $("order-side").value,
      price: Math.round(Number($("order-price").value) * 1e4),
      quantity: Number($("order-quantity").value),
      flexible: $("order-flexible").checked,
      client_order_id: crypto.randomUUID(),
    }],
  });
};

async function prove(trade) {
  $("proof").textContent = `Verifying trade ${trade} …`;
  try {
    const response = await fetch(`/v1/trades/${trade}/receipt`, { headers: { Authorization: `Bearer ${stream.token}` } });
    if (!response.ok) throw new Error((await response.json()).reason);
    const proved = await verify(await response.text());
    const traded = proved.entry.events[Number(trade.split(".")[1])];
    const signed = proved.signature === true ? `signed by ${proved.key}` : "whose signature this browser cannot check";
    $("proof").textContent =
      `Trade ${trade} is proved: ${traded.quantity} Wh at ${ct(traded.price)} ct/kWh from ${traded.seller} to ${traded.buyer} ` +
      `is entry ${proved.entry.seq} of a log of ${proved.size} entries, ${signed}.`;
  } catch (error) {
    $("proof").textContent = `Trade ${trade} is not proved: ${error.message}.`;
  }
}

$("sign-in").onsubmit = (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value.trim());
  begin();
};
$("sign-out").onclick = () => {
  sessionStorage.removeItem("token");
  begin();
};
$("slot").onchange = () => dirty.add("book");
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const name of ["book", "price", "forecast", "map"]) dirty.add(name);
});

const scheme = location.protocol === "https:" ? "wss" : "ws";
const stream = new Stream(`${scheme}://${location.host}/v1/stream`, Object.keys(channels), {
  message: (name, message) => channels[name](message),
  status(text, on) {
    $("status").textContent = text;
    $("status").className = `status ${on ? "on" : "off"}`;
  },
  welcome(frame) {
    own.name = frame.participant;
    $("token").value = "";
    $("token").placeholder = frame.participant || frame.role;
    $("sign-out").hidden = frame.role === "observer";
    dirty.add("own");
    fetch("/v1/feeder").then((response) => response.json()).then((feeder) => {
      market.feeder = feeder;
      dirty.add("map");
    });
  },
  refused(reason) {
    sessionStorage.removeItem("token");
    notice(`Not signed in: ${reason}.`);
    begin();
  },
});

function begin() {
  Object.assign(own, { name: "", orders: new Map(), trades: [], account: null });
  dirty.add("own");
  stream.open(sessionStorage.getItem("token") ?? "");
}

begin();
