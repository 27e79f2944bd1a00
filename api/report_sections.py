"""The sections of the report as HTML: what each chart shows, in words, with the same figures as a table.

Each function takes the report's data (see `api.report_data`) and returns one section, or "" where the run has nothing
to show for it.
"""

from __future__ import annotations

from typing import Any

from api.report_html import figure, folded, number, section, table, text

Data = dict[str, Any]


def headline(data: Data) -> str:
    tiles = []
    for tile in data["headline"]:
        tone = f" {tile['tone']}" if tile.get("tone") else ""
        kind = "tile warn" if tile.get("tone") == "bad" else "tile"
        unit = f' <span class="unit">{text(tile["unit"])}</span>' if tile.get("unit") else ""
        small = f'<span class="small">{text(tile["note"])}</span>' if tile.get("note") else ""
        tiles.append(
            f'<div class="{kind}"><dt>{text(tile["label"])}</dt>'
            f'<dd><span class="value{tone}">{text(tile["value"])}</span>{unit}</dd>{small}</div>'
        )
    return section("headline", "In figures", text(data["headline_note"]), f'<dl class="tiles">{"".join(tiles)}</dl>')


def feeder(data: Data) -> str:
    net = data.get("map")
    if not net:
        return ""
    last, first = len(data["times"]) - 1, net["runs"][0]
    controls = (
        _map_runs(net) + '<div class="controls"><button type="button" id="map-slot-play">Play</button>'
        '<label for="map-slot">Slot</label><span class="track"><input type="range" id="map-slot" min="0" '
        f'max="{last}" value="{net["start"]}"><span class="ribbon" id="map-ribbon" aria-hidden="true"></span></span>'
        '<output id="map-slot-text" for="map-slot"></output></div>'
        + '<p class="readout" id="map-readout" aria-live="polite"></p>'
    )
    buses = [
        (bus, net["who"][i] or "–", low / 1e4, high / 1e4)
        for i, (bus, low, high) in enumerate(zip(net["buses"], _lows(first["u"]), _highs(first["u"]), strict=True))
    ]
    branches = [
        (name, kind, rating, high / 10)
        for name, kind, rating, high in zip(
            net["branches"]["id"],
            net["branches"]["kind"],
            net["branches"]["rating"],
            _highs(first["loading"]),
            strict=True,
        )
    ]
    tables = folded(
        "Table: voltage of every bus",
        table(
            f"Lowest and highest voltage of each bus, {first['name']}",
            [("bus", None), ("connected", None), ("lowest, pu", 4), ("highest, pu", 4)],
            buses,
        ),
    ) + folded(
        "Table: loading of every branch",
        table(
            f"Highest loading of each branch, {first['name']}",
            [("branch", None), ("kind", None), ("rating", None), ("highest loading, %", 1)],
            branches,
        ),
    )
    wide, upright = map(text, net["placed"])
    placed = f'<span class="wide">{wide}</span><span class="upright">{upright}</span>'
    caption = (
        f"<strong>{text(net['name'])}</strong>: {len(net['buses'])} buses, {placed}. "
        f"The square is the source. Voltage must stay within {number(net['band'][0])} to {number(net['band'][1])} pu, "
        f"loading at most {data['limits']['loading']:g} %: red diamonds are buses outside the band, red branches carry "
        "too much, and the strip under the slider is red in slots where that happens."
    )
    if net.get("phases"):
        caption += " A schedule shows each bus and branch by the worst of its phases; the neutral counts as one."
    note = "What the wires carried, by an AC power flow of every slot's schedule at gate closure."
    return section(
        "feeder",
        "The feeder, slot by slot",
        note,
        figure(
            "map",
            "Map of the feeder; the tables below hold the same figures",
            caption,
            size="tall",
            controls=controls,
            after=tables,
        ),
    )


def _map_runs(net: Data) -> str:
    """The choice of a schedule, where there is more than one."""
    if len(net["runs"]) < 2:
        return ""
    options = "".join(
        f'<input type="radio" name="map-run" id="map-run-{index}"{" checked" if index == 0 else ""}>'
        f'<label for="map-run-{index}">{text(run["name"])}</label>'
        for index, run in enumerate(net["runs"])
    )
    legend = "Schedule, or phase of the first" if net.get("phases") else "Schedule"
    return f'<fieldset class="switch"><legend>{legend}</legend>{options}</fieldset>'


def _trading(data: Data) -> str:
    """The trading time of all slots laid over each other, where there is a spread clock or an auction to see."""
    seen = data.get("trading")
    if not seen:
        return ""
    said = "Each dot is a trade between neighbours, placed by how far its bid was above its ask and the fee, and when."
    if seen["clock"]:
        said += " The line is the spread clock: until it has fallen, only dots above it may trade."
    if seen["held"]:
        said += f" {seen['held']:,} auctions were held; their trades are diamonds."
    if seen["drawn"] < seen["trades"]:
        said += f" Of {seen['trades']:,} trades {seen['drawn']:,} are drawn."
    columns = [
        ("minutes since opening", 1),
        (f"least spread, {seen['unit']}", 2),
        ("trades", 0),
        ("energy, kWh", 2),
        (f"mean spread, {seen['unit']}", 2),
    ]
    rows = [[number(begin, 1), *rest] for begin, *rest in seen["table"]]
    return figure(
        "trading",
        "Spreads of the trades over the trading time of their slot",
        f"<strong>How slots traded,</strong> all laid over each other. {text(said)}",
        after=folded("Table: trades by tenths of the trading time", table("Tenths of the trading time", columns, rows)),
    )


def price(data: Data) -> str:
    prices, volume = data.get("price"), data.get("volume")
    if not prices or not volume:
        return ""
    rows = [
        (slot, *values)
        for slot, *values in zip(
            data["times"],
            prices["mean"],
            prices["low"],
            prices["high"],
            volume["local"],
            volume["utility"],
            strict=True,
        )
    ]
    columns = [
        ("slot", None),
        (f"mean, {prices['unit']}", 2),
        ("lowest", 2),
        ("highest", 2),
        ("between neighbours, kWh", 2),
        ("with the utility, kWh", 2),
    ]
    body = figure(
        "price",
        "Price of local trades per slot",
        f"<strong>Price of local trades.</strong> The band runs from each slot's lowest to its "
        f"highest trade; a gap is a slot without one. Dashed and dotted: what the utility charges, "
        f"{_reach(prices['retail'])}, and pays, {_reach(prices['feed_in'])} {text(prices['unit'])}; without a utility "
        "the ends of the market's range.",
    ) + figure(
        "volume",
        "Traded energy per slot",
        "<strong>Traded energy</strong> between neighbours, and with the utility on the exchange. What was not traded "
        "settles with the utility afterwards and is not in here.",
        size="short",
        after=folded("Table: price and energy", table(f"Price and energy per {data['per']}", columns, rows)),
    )
    note = (
        "Neighbours can always trade with the utility instead, which keeps prices between what it pays and what it "
        "charges, unless the wires let no more energy out, or in."
    )
    return section("price", "Price and volume", note, body + _trading(data))


def depth(data: Data) -> str:
    books = data.get("depth")
    if not books:
        return ""
    chosen = data["depth_start"]
    options = "".join(
        f'<option value="{slot}"{" selected" if int(slot) == chosen else ""}>{text(data["times"][int(slot)])}</option>'
        for slot in books
    )
    controls = (
        '<div class="controls"><label for="depth-slot">Delivery slot</label>'
        f'<select id="depth-slot">{options}</select></div>'
    )
    rows = [
        (
            data["times"][int(slot)],
            len(book["bids"]),
            sum(q for _, q in book["bids"]) / 1000,
            _first(book["bids"]),
            _first(book["asks"]),
            sum(q for _, q in book["asks"]) / 1000,
            len(book["asks"]),
        )
        for slot, book in books.items()
    ]
    columns = [
        ("slot", None),
        ("bid levels", 0),
        ("bids, kWh", 2),
        ("best bid", 2),
        ("best ask", 2),
        ("asks, kWh", 2),
        ("ask levels", 0),
    ]
    caption = (
        "<strong>The book just before its gate closed</strong>, the utility's own offers as lines. Where bids stand "
        "above asks, the wires kept them apart: "
        "the match did not fit."
    )
    note = "What was still wanted and still offered in one delivery slot when trading ended."
    return section(
        "depth",
        "Order-book depth",
        note,
        figure(
            "depth",
            "Depth of the order book",
            caption,
            controls=controls,
            after=folded("Table: best prices and depth of every book", table("Books at gate closure", columns, rows)),
        ),
    )


def balance(data: Data) -> str:
    flows = data.get("balance")
    if not flows:
        return ""
    rows = [(row["label"], "in", sum(row["kwh"])) for row in flows["in"]] + [
        (row["label"], "out", sum(row["kwh"])) for row in flows["out"]
    ]
    caption = (
        "<strong>In above the line, out below.</strong> What flows in equals what flows out, losses included, "
        "in every slot."
    )
    after = table("Energy in all slots", [("source or use", None), ("direction", None), ("energy, kWh", 1)], rows)
    note = "Where the feeder's energy came from and where it went, metered at the connections."
    return section(
        "balance",
        "Energy balance",
        note,
        figure(
            "balance",
            "Energy by source and by use per slot",
            caption,
            size="tall",
            after=folded("Table: energy in all", after),
        ),
    )


def _lows(rows: list[list[int]]) -> list[int]:
    return [min(column) for column in zip(*rows, strict=True)]


def _highs(rows: list[list[int]]) -> list[int]:
    return [max(column) for column in zip(*rows, strict=True)]


def _first(levels: list[list[float]]) -> float | None:
    return levels[0][0] if levels else None


def _reach(prices: list[float]) -> str:
    """One price, or the least and the largest."""
    return " to ".join(map(number, sorted({min(prices), max(prices)})))
