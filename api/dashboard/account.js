// What belongs to who is signed in: account, orders, trades and their proofs.

import { button, ct, element, fill, kwh, money } from "./format.js";
import { verify } from "./proof.js";
import { $, KEPT, label, market, own } from "./state.js";

/** Entries of the journal in which own past trades are looked for. */
const BACK = 20000;
/** How often and how long [ms] to wait for the signature under a trade that was just made. */
const [TRIES, PAUSE] = [5, 1000];
const FIELDS = { slot: "order-slot", side: "order-side", price: "order-price", quantity: "order-quantity", flexible: "order-flexible" };

/** A name that no other order has. `randomUUID` is for pages over TLS only. */
const unique = () => [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

function asset(name) {
  if (name === market.settings?.currency) return `Money, ${name}`;
  return name === "WH" ? "Energy" : name.replace("GO:", "Origin ");
}

/** Draw the account. `ask` sends a request and gives its answer, `token` is who asks. */
export function drawOwn(ask, token) {
  $("own").hidden = !own.name;
  if (!own.name) return;
  $("who").textContent = own.name;
  const account = own.account ?? { balances: {}, forecast: [], contracted: {} };
  $("balances").replaceChildren(...Object.entries(account.balances).map(([name, amount]) => {
    const line = document.createElement("div");
    const shown = name === market.settings?.currency ? money(amount) : `${kwh(amount)} kWh`;
    line.append(element("dt", asset(name)), element("dd", shown));
    return line;
  }));
  fill($("own-forecast"), account.forecast.map((line) =>
    [line.slot, label(line.slot), line.firm_sell + line.flexible_sell, line.firm_buy + line.flexible_buy, account.contracted[line.slot] ?? 0]));
  fill($("orders"), [...own.orders.values()].map((order) => [
    order.order, order.order, label(order.slot), order.side, ct(order.price), order.quantity - order.filled,
    () => button("Cancel", `Cancel order ${order.order}`, () => answer(ask({ op: "cancel", orders: [order.order] }), "taken out")),
  ]));
  const trades = [...own.trades.values()].sort((a, b) => parseFloat(b.trade) - parseFloat(a.trade)).slice(0, KEPT);
  fill($("own-trades"), trades.map((trade) => [
    `${trade.trade} ${trade.side}`, trade.trade, label(trade.slot), trade.side, ct(trade.price), trade.quantity,
    () => button("Verify", `Verify trade ${trade.trade}`, () => prove(trade.trade, token())),
  ]));
}

/** Own trades of late, which the stream does not tell again. */
export async function pastTrades(token, last) {
  const response = await fetch(`/v1/orders/history?from_seq=${Math.max(1, last - BACK)}&limit=1000`, { headers: { Authorization: `Bearer ${token}` } });
  if (!response.ok) return;
  for (const item of (await response.json()).items) if (item.type === "trade") own.trades.set(`${item.trade} ${item.side}`, item);
}

/** Say what became of a request: the results of `told`, once it is there. */
async function answer(told, done = "") {
  const message = await told;
  for (const id of Object.values(FIELDS)) $(id).removeAttribute("aria-invalid");
  $("order-answer").textContent = (message.op === "answer" ? message.results : [message]).map((result) => {
    if (result.code) {
      const field = $(FIELDS[(result.field ?? "").split(".").at(-1)] ?? "");
      field?.setAttribute("aria-invalid", "true");
      return `${result.code}: ${result.reason}`;
    }
    if (done) return `Order ${result.order} is ${done}.`;
    const trades = (result.trades ?? []).map((trade) => `${trade.quantity} Wh at ${ct(trade.price)} ct`);
    const rests = result.left ? `${result.left} Wh rest in the book` : "nothing is left in the book";
    return `Order ${result.order}: ${trades.length ? `traded ${trades.join(", ")}; ` : ""}${rests}.`;
  }).join(" ");
}

/** Place the order of the form. */
export function place(ask) {
  const side = $("order-side").value;
  return answer(ask({
    op: "submit",
    orders: [{
      slot: Number($("order-slot").value),
      side,
      price: Math.round(Number($("order-price").value) * 1e4),
      quantity: Number($("order-quantity").value),
      flexible: $("order-flexible").checked,
      source: side === "sell" ? (own.account?.source ?? "") : "",
      client_order_id: unique(),
    }],
  }));
}

async function receipt(trade, token) {
  for (let left = TRIES; ; left -= 1) {
    const response = await fetch(`/v1/trades/${trade}/receipt`, { headers: { Authorization: `Bearer ${token}` } });
    if (response.ok) return response.text();
    const { code, reason } = await response.json();
    if (code !== "NOT_SIGNED_YET" || !left) throw new Error(reason);
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

async function prove(trade, token) {
  const say = (text, kind) => Object.assign($("proof"), { textContent: text, className: kind });
  say(`Verifying trade ${trade} …`, "");
  try {
    const proved = await verify(await receipt(trade, token));
    const [seq, place] = trade.split(".").map(Number);
    const traded = proved.entry.seq === seq ? proved.entry.events[place] : undefined;
    if (!traded?.buyer) throw new Error("the receipt is that of another entry");
    const signed = proved.signature === true ? `signed by ${proved.key}` : "whose signature this browser cannot check";
    say(
      `Trade ${trade} is proved: ${traded.quantity} Wh at ${ct(traded.price)} ct/kWh from ${traded.seller} to ${traded.buyer} ` +
      `is entry ${seq} of a log of ${proved.size} entries, ${signed}.`, "good");
  } catch (error) {
    say(`Trade ${trade} is not proved: ${error.message}.`, "bad");
  }
}
