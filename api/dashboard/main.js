// The page: a client of the public stream like any other.

import { drawOwn, pastTrades, place } from "./account.js";
import { draw, limitName, slotChoices, ticks } from "./screen.js";
import { Stream } from "./stream.js";
import { $, KEPT, book, dirty, hear, label, limits, market, notice, own, run, tape, traded } from "./state.js";

/** Time between two pictures [ms]. */
const PICTURE = 250;
/** Share of its current at which a branch is worth an alarm. */
const NEARLY_FULL = 0.95;

// -- channels -------------------------------------------------------------------------------------------------------

const halts = new Set();
const notices = new Set();

const channels = {
  market(message) {
    if (message.type === "snapshot") {
      market.settings = message.settings;
      $("name").textContent = `· ${message.settings.name}`;
      market.slots = new Map(message.slots.map((slot) => [slot.slot, slot]));
      market.forecast = new Map(message.forecast.map((line) => [line.slot, line]));
      hear(message.time);
      for (const scope of ["market", "feeder"]) halts.delete(scope);
      for (const { scope } of message.halts) halts.add(scope);
      alarm();
      dirty.add("price").add("tape");
    }
    for (const item of message.items ?? []) {
      if (item.type === "opened") market.slots.set(item.slot, item);
      else if (item.type === "gate_closed") {
        market.slots.delete(item.slot);
        market.forecast.delete(item.slot);
      } else if (item.type === "forecast") market.forecast.set(item.slot, item);
      else if (item.type === "halted" || item.type === "resumed") halt(item);
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
      tape.length = 0;
    }
    for (const trade of message.items) {
      const slot = traded.get(trade.slot) ?? { wh: 0, money: 0 };
      traded.set(trade.slot, slot);
      slot.wh += trade.quantity;
      slot.money += trade.price * trade.quantity;
      tape.unshift(trade);
      hear(trade.time);
    }
    tape.length = Math.min(tape.length, KEPT);
    dirty.add("price").add("tape");
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
    if (state.slot !== market.grid?.slot) {
      for (const element of state.violations) notice(`Delivery ${label(state.slot)}: ${element} is beyond its limit.`, "bad");
      for (const [branch, share] of Object.entries(state.loading))
        if (share > NEARLY_FULL && share <= 1) notice(`Delivery ${label(state.slot)}: ${branch} is ${(share * 100).toFixed(0)} % loaded.`);
    }
    market.grid = state;
    dirty.add("map");
  },
  system(message) {
    for (const item of message.items) {
      const last = notices.has(`${item.time} ${item.text}`);
      notices.add(`${item.time} ${item.text}`);
      if (!last) notice(`Operator: ${item.text}`);
    }
  },
  orders(message) {
    if (message.type === "snapshot") own.orders = new Map(message.orders.map((order) => [order.order, order]));
    for (const item of message.items ?? []) {
      const order = own.orders.get(item.order);
      if (item.type === "accepted") own.orders.set(item.order, item);
      else if (item.type === "cancelled" || item.type === "expired") own.orders.delete(item.order);
      else if (item.type === "amended" && order) Object.assign(order, { price: item.price, quantity: item.quantity });
      else if (item.type === "halted" || item.type === "resumed") halt(item);
      else if (item.type === "limited")
        notice(`Order ${item.order}: of ${item.wanted} Wh the wires carried ${item.admitted}${item.constraint ? `, ${limitName(item.constraint)}` : ""}.`);
      else if (item.type === "trade") {
        own.trades.set(`${item.trade} ${item.side}`, item);
        if (order && (order.filled += item.quantity) >= order.quantity) own.orders.delete(item.order);
      }
    }
    dirty.add("own");
  },
  account(message) {
    own.account = message;
    halts[message.halted ? "add" : "delete"]("participant");
    alarm();
    dirty.add("own");
  },
};

// -- alarms -----------------------------------------------------------------------------------------------------------

let lost = "";

/** What everybody must know first: that nothing is heard of the market, or that it does not trade. */
function alarm() {
  const scopes = [...halts].map((scope) => (scope === "participant" ? "this account" : `the ${scope}`));
  const text = lost || (scopes.length ? `Trading is halted for ${scopes.join(" and ")}. Cancels still work.` : "");
  $("alarm").hidden = !text;
  if ($("alarm").textContent !== text) $("alarm").textContent = text;
}

function halt({ type, scope }) {
  halts[type === "halted" ? "add" : "delete"](scope);
  notice(`Trading ${type} (${scope}).`, type === "halted" ? "bad" : "");
  alarm();
}

// -- the stream -------------------------------------------------------------------------------------------------------

const stream = new Stream(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/stream`, Object.keys(channels), {
  message: (name, message) => channels[name](message),
  heartbeat: (time) => hear(time),
  status(text, on) {
    $("status").textContent = text;
    $("status").className = `status ${on ? "on" : "off"}`;
  },
  lost(reason) {
    if (!lost) notice(`Connection lost${reason ? `: ${reason}` : ""}.`, "bad");
    run(0);
    lost = `Not connected. What is shown is of ${$("clock").textContent}; the page goes on by itself once the market answers.`;
    alarm();
  },
  welcome(frame) {
    if (lost) notice("Connected again; what was missed has been fetched.");
    lost = "";
    alarm();
    run(frame.speed);
    own.name = frame.participant;
    const known = frame.role !== "observer";
    $("sign-in").hidden = known;
    $("signed-in").hidden = !known;
    $("role").textContent = frame.participant || frame.role;
    dirty.add("own");
    feeder();
  },
  begun(name, seq) {
    if (name === "orders") pastTrades(stream.token, seq).then(() => dirty.add("own"));
  },
  refused(reason) {
    sessionStorage.removeItem("token");
    begin();
    $("sign-in-answer").textContent = `Not signed in: ${reason}.`;
    $("token").setAttribute("aria-invalid", "true");
    $("token").focus();
  },
});

async function feeder() {
  const response = await fetch("/v1/feeder");
  if (!response.ok) return;
  market.feeder = await response.json();
  dirty.add("map");
}

/** Connect as who is signed in. */
function begin() {
  Object.assign(own, { name: "", orders: new Map(), trades: new Map(), account: null });
  halts.delete("participant");
  dirty.add("own");
  $("sign-in-answer").textContent = "";
  $("token").removeAttribute("aria-invalid");
  stream.open(sessionStorage.getItem("token") ?? "");
}

// -- the visitor ------------------------------------------------------------------------------------------------------

const ask = (message) => stream.ask(message);
draw.own = () => drawOwn(ask, () => stream.token);

$("order").onsubmit = (event) => {
  event.preventDefault();
  place(ask);
};
$("sign-in").onsubmit = (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value.trim());
  $("token").value = "";
  begin();
};
$("sign-out").onclick = () => {
  sessionStorage.removeItem("token");
  begin();
};
$("slot").onchange = () => dirty.add("book");
$("grid-figures").ontoggle = () => dirty.add("map");
for (const query of ["(prefers-color-scheme: dark)", "(max-width: 40rem)"])
  matchMedia(query).addEventListener("change", () => ["book", "price", "forecast", "map"].forEach((name) => dirty.add(name)));

setInterval(() => {
  ticks();
  for (const name of [...dirty]) {
    dirty.delete(name);
    draw[name]();
  }
}, PICTURE);

begin();
