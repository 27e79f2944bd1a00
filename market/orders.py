"""What may be said to the exchange: the commands, frozen."""

from __future__ import annotations

from typing import Literal

import msgspec

Side = Literal["buy", "sell"]
TimeInForce = Literal["gtc", "gtd", "ioc", "fok"]
Scope = Literal["market", "feeder", "participant"]
GateMode = Literal["off", "linear", "certified", "ac"]
Netting = Literal["netted", "one_sided"]
Design = Literal["cda", "call", "pay_as_bid", "mmr", "sdr"]
TariffModel = Literal["distance", "level"]
LossModel = Literal["none", "operator", "average", "marginal"]
ImbalancePrice = Literal["tariff", "market"]
Origins = Literal["labels", "metered"]


class Message(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower, omit_defaults=True, gc=False):
    """Base of commands and events: frozen, tagged by kind, fields at their default left out."""


class NetworkTariff(msgspec.Struct, frozen=True, omit_defaults=True):
    """Fees by distance along a tree of K nodes, the first its root; what is summed up is said in `market.tariff`."""

    model: TariffModel
    """What the distance measures."""
    parent: tuple[int, ...]
    """(K,) the node before each on the way to the root, an earlier one; -1 at the root."""
    length: tuple[int, ...]
    """(K,) distance of each node from its parent, in whole units."""
    place: tuple[int, ...]
    """(C,) node of each connection of the feeder."""
    rate: int = 0
    """Fee per million units of distance [milli-currency/MWh]."""
    limits: tuple[int, ...] = ()
    """Largest distance of each band but the last, rising."""
    fees: tuple[int, ...] = ()
    """Fee of each band [milli-currency/MWh], one more than limits; none: there are no bands."""


class SettlementRules(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is owed after delivery beside the contracts; see `market.settlement` and `market.origins`."""

    imbalance: ImbalancePrice = "tariff"
    """`tariff`: a surplus is sold at `feed_in`, a shortage bought at `retail`. `market`: at the mean local price of the
    slot less and plus `surcharge`."""
    surcharge: int = 0
    """`market` only [milli-currency/MWh]."""
    curtailment: int = 0
    """What the wires pay for energy that their operator withheld [milli-currency/MWh]; 0: nothing is withheld."""
    corrections_seconds: int = 0
    """How long after delivery the meters of a settled slot may be corrected; 0: what is settled stays."""
    origins: Origins = "labels"
    """`labels`: origin is what the seller says. `metered`: units are issued for metered generation only, and cancelled
    when they are consumed."""


class MarketSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """The rules of one market, fixed for the life of its ledger. Prices in milli-currency/MWh, ratios in ppm."""

    name: str
    currency: str
    slot_seconds: int
    opens_before_seconds: int
    gate_before_seconds: int
    tick: int
    price_floor: int
    price_cap: int
    lot: int
    """Quantities are multiples of this many Wh; a match trimmed below one lot is refused."""
    max_orders: int
    """Most orders that may rest in one slot."""
    gate: GateMode
    voltage_min_ppm: int
    voltage_max_ppm: int
    loading_max_ppm: int
    utility: str
    """The participant who serves what was not traded, at `retail` and `feed_in`, or as `price_changes` say."""
    retail: int
    feed_in: int
    grid_fee: int
    """In whole ticks: what the buyer of a locally traded Wh pays, within its limit, beyond what the seller receives."""
    spread_start: int = 0
    """Spread clock: what a bid must exceed an ask by when continuous trading begins; 0: off. See `market.spread`."""
    spread_zero_ppm: int = 700_000
    """Share of the time of continuous trading after which any bid that reaches an ask trades; beyond the whole of it
    only with `auction_closing`, which then clears what the clock still held back."""
    spread_power: int = 1
    """How the threshold falls: by the so-manieth power of the time that is left, 1 in a straight line."""
    unbalance_max_ppm: int = 20_000
    """Largest voltage unbalance factor |V2| / |V1| of a bus; only three-phase feeders have one."""
    design: Design = "cda"
    """`cda` trades continuously; in the others orders rest, and an auction clears them when the gate closes."""
    auction_opening: int = 0
    """`cda` only: seconds after a slot opens in which orders collect for a call auction, before continuous trading."""
    auction_every: int = 0
    """Other designs only: seconds from one auction of a slot to the next; 0: one, at gate closure."""
    netting: Netting = "netted"
    """Which schedules the wires must carry: the one in which everybody delivers, or also those of one side alone."""
    auction_closing: bool = False
    """`cda` only: what is left when the gate closes is cleared by a call auction."""
    network_tariff: NetworkTariff | None = None
    """Fees that depend on who trades with whom, beside `grid_fee`. See `market.tariff`."""
    losses: LossModel = "none"
    """Who pays for the energy that the wires lose: nobody, the operator of the wires, or all by one of two rules."""
    losses_price: int = 0
    """Price at which the utility supplies it."""
    price_changes: tuple[tuple[int, int, int], ...] = ()
    """The utility's prices by time: from each of these delivery slots on, which rise, `(slot, retail, feed_in)`. Slots
    before the first have `retail` and `feed_in` above."""
    settlement: SettlementRules | None = None
    """None: as in ledgers of before there were such rules, by tariff and once, with one counter-posting per line."""


RULES = 2
"""Version of the rules by which the exchange matches and clears: journals of other ones cannot be replayed."""


class CreateMarket(Message, frozen=True, tag="create_market"):
    """The first command of a ledger: rules and network, all that an auditor needs to start."""

    settings: MarketSettings
    feeder: str
    """The feeder in its native JSON format, as text."""
    rules: int = 1
    """Version of the rules by which the exchange matched; journals from before there were versions have the first."""


class Register(Message, frozen=True, tag="register"):
    """A participant joins at a connection of the feeder."""

    participant: str
    connection: str
    source: str = ""
    """What the connection generates from, if it generates; its units of origin are issued for this source alone."""


class AdvanceClock(Message, frozen=True, tag="advance_clock"):
    """The only clock: ISO 8601 UTC. Opens products, holds auctions, closes gates, expires what rests then."""

    now: str


class UpdateGrid(Message, frozen=True, tag="update_grid"):
    """The operator's baseline of one slot: energy that flows anyway, per connection of the feeder.

    Injection into the grid is positive [Wh, varh in the slot]. Firm orders re-label this energy, up to its amount.
    """

    slot: int
    baseline: list[int]
    reactive: list[int] = []


class Submit(Message, frozen=True, tag="submit"):
    """A limit order for one slot. Its number is the sequence number of this command."""

    participant: str
    slot: int
    side: Side
    price: int
    quantity: int
    time_in_force: TimeInForce = "gtc"
    flexible: bool = False
    """True: the schedule changes if this trades, so the gate must check it. False: it re-labels baseline energy,
    as far as the baseline of the connection reaches; what exceeds it counts as flexible."""
    source: str = ""
    """Origin of the energy offered by an ask: solar, wind, hydro, biomass, storage, grid."""
    client_order_id: str = ""
    """The participant's own name for the order. The same name again gives the first answer again, for ever."""
    sources: tuple[str, ...] = ()
    """Origins that a bid accepts; none named: all, and energy of no stated origin too."""
    good_till: str = ""
    """ISO 8601 UTC, for `gtd` only: the order expires when the clock reaches it, or at gate closure."""
    post_only: bool = False
    """True: the order is refused if it would trade at once."""


class Leg(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One order of a basket; fields as in `Submit`."""

    slot: int
    side: Side
    price: int
    quantity: int
    flexible: bool = False
    source: str = ""
    sources: tuple[str, ...] = ()


class Amend(Message, frozen=True, tag="amend"):
    """New price or new total quantity of a resting order. Only a smaller quantity keeps its priority."""

    participant: str
    order: int
    price: int | None = None
    quantity: int | None = None


class Cancel(Message, frozen=True, tag="cancel"):
    """Take a resting order out of the book, also while trading is halted."""

    participant: str
    order: int


class MassCancel(Message, frozen=True, tag="mass_cancel"):
    """Cancel all resting orders of a participant, in one slot or in all."""

    participant: str
    slot: int | None = None


class Basket(Message, frozen=True, tag="basket"):
    """Linked orders of one participant, at most one a slot: all are filled in full at once, or none is."""

    participant: str
    legs: tuple[Leg, ...]
    client_order_id: str = ""


class Halt(Message, frozen=True, tag="halt"):
    """The kill switch: from now on nobody in its scope may submit or amend. Cancels still work."""

    scope: Scope
    participant: str = ""
    """Whom it stops, for the scope `participant`."""
    cancel_orders: bool = False
    """Also take what they have in the books."""
    reason: str = ""


class Resume(Message, frozen=True, tag="resume"):
    """Lift a halt of the same scope."""

    scope: Scope
    participant: str = ""


class Curtail(Message, frozen=True, tag="curtail"):
    """What the operator of the wires withheld of a slot after its gate closed, to be compensated for."""

    slot: int
    energy: dict[str, int]
    """Participant -> what it could not feed in or draw [Wh]. Several statements of a slot add up."""


class RecordMeter(Message, frozen=True, tag="record_meter"):
    """Metered energy of one slot per participant: injection positive [Wh].

    Each is a new version of the slot's meters. Of a settled slot it is a late or corrected reading, which the next
    `settle` of the slot takes into account.
    """

    slot: int
    readings: dict[str, int]
    generated: dict[str, int] = {}
    """What meters of generation counted, where there are any; else what was injected counts as generated."""
    unserved: dict[str, int] = {}
    """What was wanted beyond the readings and not supplied: load that an island has shed. Nothing is paid for it."""


class RecordLosses(Message, frozen=True, tag="record_losses"):
    """What the wires lost in a metered slot, as their operator states it, before the slot is settled."""

    slot: int
    energy: int
    """[Wh]"""
    weights: dict[str, int] = {}
    """Only where losses are shared by `marginal`: by what the energy is shared, also below zero where a participant
    relieves the wires. If they do not sum to more than zero, the operator pays."""


class Settle(Message, frozen=True, tag="settle"):
    """Settle the metered slot: what was metered beyond the contracts is bought from or sold to the utility.

    Said again after readings were corrected, it is a correction run, which posts the differences.
    """

    slot: int


Command = (
    CreateMarket
    | Register
    | AdvanceClock
    | UpdateGrid
    | Submit
    | Amend
    | Cancel
    | MassCancel
    | Basket
    | Halt
    | Resume
    | Curtail
    | RecordMeter
    | RecordLosses
    | Settle
)
