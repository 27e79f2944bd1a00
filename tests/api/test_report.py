"""The report: one page that holds all it needs, safe whatever the names in it are, true to the figures given."""

from __future__ import annotations

import errno
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from api.report import put
from api.report_figures import _unbalance, alert, headline, limit_words
from api.report_html import embedded, number, table, text
from api.report_page import page, plotly_js
from scenarios import load
from tests.agents import test_island as island
from tests.api.report_example import example

SETTINGS = load("village").market_settings()
NASTY = '</script><script>alert("1")</script><!-- & \' "'


class Page(HTMLParser):
    """What of a page a test wants to see: elements with their attributes, ids, and the text of scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._script = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self._script = True
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = False

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.elements if "id" in attributes]


@pytest.fixture(scope="module")
def html() -> str:
    return page(example())


@pytest.fixture(scope="module")
def parsed(html: str) -> Page:
    return Page(html)


def test_page_has_all_sections_and_its_contents_link_to_them(parsed: Page) -> None:
    sections = [attributes["id"] for attributes in parsed.all("section")]
    assert sections == [
        "headline", "feeder", "price", "depth", "balance", "bills", "metrics", "refused", "envelopes", "compare",
        "strategies", "provenance",
    ]  # fmt: skip
    linked = [attributes["href"] for attributes in parsed.all("a")]
    assert [f"#{name}" for name in sections] == [href for href in linked if href != "#main"]


def test_ids_are_unique_and_labels_point_to_them(parsed: Page) -> None:
    assert len(parsed.ids) == len(set(parsed.ids))
    targets = {attributes["for"] for tag, attributes in parsed.elements if tag in ("label", "output")}
    targets |= {attributes["aria-labelledby"] for attributes in parsed.all("section")}
    assert targets <= set(parsed.ids)


def test_page_asks_for_nothing_outside_itself(html: str, parsed: Page) -> None:
    for _, attributes in parsed.elements:
        assert not {"src", "srcset", "data", "poster", "action"} & attributes.keys()
        assert (attributes.get("href") or "#").startswith("#")
    own = html.replace(plotly_js().replace("</script", "<\\/script").replace("<!--", "<\\!--"), "")
    assert len(own) < len(html) - 1_000_000
    assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttpRequest", own)
    policy = next(attributes["content"] for attributes in parsed.all("meta") if "http-equiv" in attributes)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_every_chart_has_a_place_a_label_and_a_table_near_it(parsed: Page) -> None:
    drawn = set(re.findall(r'chart\("([a-z-]+)"', parsed.scripts[-1]))
    places = {
        (attributes.get("id") or "").removeprefix("chart-"): attributes.get("aria-label")
        for attributes in parsed.all("div")
        if attributes.get("role") == "img"
    }
    assert drawn == places.keys()
    assert all(places.values())
    assert len(parsed.all("table")) >= len(parsed.all("section")) - 1


def test_headings_do_not_skip_a_level(parsed: Page) -> None:
    levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_data_in_the_page_is_the_data_given(parsed: Page) -> None:
    data = json.loads(parsed.scripts[0])
    given = example()
    for key in ("times", "map", "price", "volume", "depth", "balance", "bills", "metrics", "refused", "compare"):
        assert data[key] == json.loads(json.dumps(given[key]))


def test_a_run_without_comparison_or_refusals_has_no_empty_charts() -> None:
    data = example()
    data["refused"]["constraints"] = []
    for key in ("compare", "depth", "map"):
        data[key] = None
    ids = Page(page(data)).ids
    assert "refused" in ids
    assert not {"chart-refused-by", "chart-compare-loading", "chart-depth", "chart-map"} & set(ids)


def test_a_schedule_that_breaks_limits_is_said_before_anything_else() -> None:
    data = example()
    assert 'class="notice alert"' not in page(data)
    data["alert"] = "This schedule breaks limits of the grid."
    html = page(data)
    assert html.index(data["alert"]) < html.index("<nav")


def test_figures_beyond_a_limit_are_marked_and_the_gate_is_named() -> None:
    grid = {
        "violations": 7, "violated_slots": 2, "u_min_pu": 0.99, "u_max_pu": 1.2, "loading_max": 0.5,
        "loading_max_branch": "l2", "losses_kwh": 1.0,
    }  # fmt: skip
    summary = {
        "gate": "off", "slots": 4, "orders": 9, "seconds": None, "currency": "EUR", "grid": grid,
        "energy": {"local_kwh": 1.0, "load_kwh": 2.0, "trades": 3, "self_sufficiency": 0.5},
        "price": {"mean_ct": 20.0, "low_ct": 10.0, "high_ct": 30.0},
        "welfare": {"share": 1.1, "congested_slots": 1, "congestion_cost": 2.0},
        "limited": {"refused": 0, "trimmed": 0},
        "market_power": {"hhi_sellers": 0.05, "lerner": 0.5, "pivotal_slots": 2},
        "emissions": {"kg": 301.0, "consumed_g_per_kwh": 103.0},
        "peak": {"import_kw": 12.5, "export_kw": 3.0},
        "money": {"wires": 1.5, "grid_fees": 1.5, "losses": 0.0, "losses_operator": 0.0},
        "stages": {"envelope": 1200, "rows": 0, "gate": 3},
    }  # fmt: skip
    tiles = {tile["label"]: tile for tile in headline(summary, SETTINGS)}
    assert {label for label, tile in tiles.items() if tile["tone"] == "bad"} == {"Voltage", "Limits violated"}
    assert "gate was off" in tiles["Matches that met a limit"]["note"]
    assert tiles["Wires asked"]["note"].replace("\u202f", " ") == "1 200 by the envelope, 3 by power flow"
    assert tiles["Mean price"]["note"].startswith("10.00 to 30.00; utility")
    assert "needed in 2 of 4 slots" in tiles["Market power"]["note"]
    assert tiles["Emissions"]["value"] == "103"
    assert tiles["Peak"]["note"] == "from above; fed back 3.0"
    assert "2 of 4 slots" in alert(summary)
    assert "before any trade" not in alert(summary)
    assert "before any trade" in alert(summary | {"grid": grid | {"violations_by_trade": 0}})
    assert alert(summary | {"grid": grid | {"violations": 0}}) == ""


@pytest.mark.parametrize(
    ("element", "words"),
    [
        ("bus:LV:1:high", ("LV:1", "voltage too high")),
        ("bus:b:low", ("b", "voltage too low")),
        ("branch:a:b", ("a:b", "loading")),
        ("branch:a.n", ("a.n", "loading")),
        ("bus:7.c:high", ("7.c", "voltage too high")),
        ("bus:7:vuf", ("7", "unbalance")),
    ],
)
def test_limits_are_named_in_words(element: str, words: tuple[str, str]) -> None:
    assert limit_words(element) == words


def test_a_three_phase_feeder_shows_its_phases_and_how_unbalanced_it_is() -> None:
    shown = page(example())
    assert "worst of its phases" in shown
    assert "highest unbalance, %" in shown
    data = example()
    data["map"]["phases"] = False
    for run in data["compare"]:
        del run["unbalance"]
    plain = page(data)
    assert "worst of its phases" not in plain
    assert set(Page(shown).ids) - set(Page(plain).ids) == {"chart-compare-unbalance"}
    grid = {
        "violations": 0, "violated_slots": 0, "u_min_pu": 0.99, "u_max_pu": 1.02, "losses_kwh": 1.0,
        "unbalance_max": 0.021, "unbalance_max_bus": "7",
    }  # fmt: skip
    (tile,) = (tile for tile in _unbalance(grid, SETTINGS))
    assert (tile["value"], tile["tone"], tile["note"]) == ("2.10", "bad", "at 7; may be 2 %")


@pytest.mark.parametrize("field", ["title", "heading", "lede", "alert", "check"])
def test_hostile_names_cannot_leave_their_place(field: str) -> None:
    data = example()
    data[field] = NASTY
    data["map"]["buses"][0] = data["bills"]["rows"][0]["name"] = data["provenance"][0][1] = NASTY
    data["refused"]["constraints"][0]["said"] = [NASTY, NASTY]
    data["facts"][0] = NASTY
    plain = example()
    plain["alert"] = "x" if data["alert"] else ""
    hostile, clean = Page(page(data)), Page(page(plain))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in clean.elements]
    assert json.loads(hostile.scripts[0])["map"]["buses"][0] == NASTY


def test_a_full_disk_leaves_the_page_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    put(path, "old")

    def full(self: Path, text: str, encoding: str) -> int:
        self.write_bytes(text[:2].encode(encoding))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        put(path, "new page")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_nan_is_refused_rather_than_written() -> None:
    data = example()
    data["price"]["mean"][0] = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        page(data)


def test_page_stays_below_eight_megabytes(html: str) -> None:
    assert len(html.encode()) < 8_000_000


@pytest.mark.parametrize("value", [NASTY, "\u2028", "é", {"a": [1, None, "<"]}])
def test_embedded_json_reads_back_and_has_no_markup(value: Any) -> None:
    body = embedded(value)
    assert json.loads(body) == value
    assert not re.search("[<>&\u2028]", body)


def test_numbers_are_written_for_people() -> None:
    assert number(1234.5, 1) == "1\u202f234.5"
    assert number(-0.25) == "\u22120.25"
    assert number(None) == "–"
    assert number(float("nan")) == "–"


def test_table_heads_its_columns_and_rows() -> None:
    html = table("Caption", [("name", None), ("kWh", 1)], [("a & b", 2.0), ("c", None)])
    assert '<th scope="col">kWh</th>' in html
    assert f'<th scope="row" class="text">{text("a & b")}</th><td>2.0</td>' in html
    assert "<td>–</td>" in html


def test_the_head_of_an_island_says_what_was_shed_and_names_no_utility() -> None:
    run, _ = island.finished()
    results = run.results()
    tiles = {tile["label"]: tile for tile in headline(results.summary, run.exchange.settings)}
    assert tiles["Load shed"]["value"] == number(results.summary["island"]["shed_kwh"], 1)
    assert tiles["Load shed"]["tone"] == "bad"
    assert "there is no utility" in tiles["Mean price"]["note"]
    assert "kWh cost for" in tiles["The wires earned"]["note"]
