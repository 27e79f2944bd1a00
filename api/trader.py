"""What a person at a terminal can say to a market, and the answers in words. The same with and without a screen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from rich.table import Table

from api.client import AsyncClient
from api.connection import LostError
from api.gateway import RefusedError
from api.schemas import Result
from market.slots import NS, format_time
from market.units import PRICE_PER_CT_KWH, energy, price

HELP = """buy KWH CT [SLOT]     bid, such as: buy 0.5 15.2
sell KWH CT [SLOT]    ask; SLOT is a number or a time of delivery such as 14:15, else the next slot to close
cancel ORDER | all    take out
orders                own resting orders
account               balances, contracts and forecast
slots                 open slots and their gate closures
book [SLOT]           levels of price
help, quit"""
ANY = 100_000_000
"""More energy than a feeder carries in a slot: that is the utility [Wh]."""
DEPTH = 8
"""Levels of a side that are shown."""


class SayingError(ValueError):
    """What was said is no command; the message shows the right form."""


class Trader:
    """Carries out lines of text through a client."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self._words: dict[str, Callable[[list[str]], Awaitable[str | Table]]] = {
            "buy": lambda words: self._order("buy", words),
            "sell": lambda words: self._order("sell", words),
            "cancel": self._cancel,
            "orders": self._orders,
            "account": self._account,
            "slots": self._slots,
            "book": self._book,
            "help": self._help,
        }

    async def say(self, line: str) -> str | Table:
        """The answer to a line; errors are answers too."""
        words = line.split()
        if not words:
            return ""
        found = self._words.get(words[0].lower())
        if found is None:
            return f"no command {words[0]!r}; these are:\n{HELP}"
        try:
            return await found(words[1:])
        except (SayingError, RefusedError, LostError) as error:
            return str(error)

    # -- commands --------------------------------------------------------------------------------------------------

    async def _order(self, side: str, words: list[str]) -> str:
        if len(words) not in (2, 3):
            raise SayingError(f"say: {side} KWH CT [SLOT], such as: {side} 0.5 15.2")
        try:
            quantity, wanted = energy(f"{words[0]} kWh"), price(f"{words[1]} ct/kWh")
        except ValueError as error:
            raise SayingError(str(error)) from error
        slot = self.slot(words[2] if len(words) == 3 else "")
        send = self.client.buy if side == "buy" else self.client.sell
        source = {} if side == "buy" else {"source": self.client.view.account.source}
        return told(await send(slot, wanted, quantity, **source), slot)

    async def _cancel(self, words: list[str]) -> str:
        if words == ["all"]:
            result = await self.client.mass_cancel()
            return refusal(result) or "all orders are taken out"
        if not words or not all(word.lstrip("#").isdigit() for word in words):
            raise SayingError("say: cancel ORDER, with its number, or: cancel all")
        results = await self.client.cancel(*(int(word.lstrip("#")) for word in words))
        return "\n".join(refusal(result) or f"#{result.order} is taken out" for result in results)

    async def _orders(self, _: list[str]) -> Table:
        table = Table("order", "slot", "side", "ct/kWh", "left kWh", "filled kWh", box=None)
        for order in self.client.view.orders.values():
            table.add_row(
                f"#{order.order}", self.clock(order.slot), order.side, ct(order.price),
                kwh(order.quantity - order.filled), kwh(order.filled),
            )  # fmt: skip
        return table

    async def _account(self, _: list[str]) -> Table:
        account = self.client.view.account
        table = Table("slot", "sold less bought kWh", "could sell kWh", "could buy kWh", box=None)
        for slot in sorted(account.contracted.keys() | account.forecast.keys()):
            line = account.forecast.get(slot, {})
            sell, buy = (
                sum(line.get(f"{kind}_{side}", 0) for kind in ("firm", "flexible")) for side in ("sell", "buy")
            )
            table.add_row(self.clock(slot), kwh(account.contracted.get(slot, 0)), kwh(sell), kwh(buy))
        money = ", ".join(
            f"{amount / 1e9:.4f} {asset}" for asset, amount in account.balances.items() if len(asset) == 3
        )
        table.caption = f"balance {money or '0'}" + ("; trading is halted" if account.halted else "")
        return table

    async def _slots(self, _: list[str]) -> Table:
        table = Table("slot", "delivery", "closes in", "bid ct", "ask ct", box=None)
        for slot in sorted(self.client.view.slots):
            book = self.client.view.levels(slot)
            table.add_row(str(slot), self.clock(slot), self._left(slot), ct(book.bid), ct(book.ask))
        return table

    async def _book(self, words: list[str]) -> Table:
        return self.levels(self.slot(words[0] if words else ""))

    async def _help(self, _: list[str]) -> str:
        return HELP

    # -- what is shown ---------------------------------------------------------------------------------------------

    def levels(self, slot: int) -> Table:
        """The best levels of a slot."""
        book = self.client.view.levels(slot)
        title = f"delivery {self.clock(slot)}, closes in {self._left(slot)}"
        table = Table("bid kWh", "bid ct", "ask ct", "ask kWh", title=title, box=None)
        bids = sorted(book.bids.items(), reverse=True)[:DEPTH]
        asks = sorted(book.asks.items())[:DEPTH]
        for place in range(max(len(bids), len(asks))):
            bid = bids[place] if place < len(bids) else None
            ask = asks[place] if place < len(asks) else None
            left = ("", "") if bid is None else (amount(bid[1]), ct(bid[0]))
            table.add_row(*left, *(("", "") if ask is None else (ct(ask[0]), amount(ask[1]))))
        return table

    def _left(self, slot: int) -> str:
        """Time of ours until the gate of an open slot closes, M:SS."""
        times, welcome = self.client.view.slots.get(slot), self.client.welcome
        if times is None or welcome is None:
            return "0:00"
        left = int(max(0, times.gate - self.client.now) / NS / welcome.speed)
        return f"{left // 60}:{left % 60:02}"

    def slot(self, word: str = "") -> int:
        """A slot by its number or its time of delivery; without either the next one to close. Raises SayingError."""
        now = self.client.now
        slots = sorted(slot for slot, times in self.client.view.slots.items() if times.gate > now)
        if not slots:
            raise SayingError("no slot trades now")
        if not word:
            return slots[0]
        for slot in slots:
            if word in (str(slot), self.clock(slot)):
                return slot
        raise SayingError(f"slot {word!r} does not trade; these do: {', '.join(map(self.clock, slots))}")

    def clock(self, slot: int) -> str:
        """Delivery of a slot, HH:MM UTC; its number if the time is not known any more."""
        settings = self.client.view.settings
        return str(slot) if settings is None else format_time(slot * settings.slot_seconds * NS)[11:16]


def told(result: Result, slot: int) -> str:
    """What became of an order."""
    if result.code:
        return refusal(result)
    lines = [f"traded {kwh(trade['quantity'])} kWh at {ct(trade['price'])} ct" for trade in result.trades]
    if result.left:
        lines.append(f"{kwh(result.left)} kWh rest as #{result.order} in slot {slot}")
    return "\n".join(lines or [f"#{result.order}: nothing traded, nothing rests"])


def refusal(result: Result) -> str:
    """Why not; empty if nothing was refused."""
    return f"{result.code}: {result.reason}" if result.code else ""


def ct(value: int | None) -> str:
    """A price in ct/kWh."""
    return "" if value is None else f"{value / PRICE_PER_CT_KWH:.2f}"


def kwh(value: int) -> str:
    """Energy in kWh."""
    return f"{value / 1000:.3f}"


def amount(value: int) -> str:
    """Energy of a level in kWh; the utility takes and gives any."""
    return kwh(value) if value < ANY else "any"
