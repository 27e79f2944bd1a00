"""The report as one HTML file: template, style, plotly.js from the installed wheel, data and sections put together."""

from __future__ import annotations

from importlib.resources import files
from string import Template

from api import report_outcomes as outcomes
from api import report_sections as sections
from api.report_envelopes import envelopes
from api.report_html import embedded, text
from api.report_metrics import metrics
from api.report_sections import Data

_SECTIONS = (
    ("headline", "Figures", sections.headline),
    ("feeder", "Feeder", sections.feeder),
    ("price", "Price", sections.price),
    ("depth", "Book", sections.depth),
    ("balance", "Energy", sections.balance),
    ("bills", "Bills", outcomes.bills),
    ("metrics", "Metrics", metrics),
    ("refused", "Refused", outcomes.refused),
    ("envelopes", "Envelopes", envelopes),
    ("compare", "Grid", outcomes.compare),
    ("strategies", "Strategies", outcomes.strategies),
    ("provenance", "Provenance", outcomes.provenance),
)
_SCRIPTS = ("core.js", "map.js", "charts.js")
_ONLY_FOR_PAGE = ("headline", "facts", "alert", "provenance", "strategies")


def page(data: Data) -> str:
    """The whole page. It fetches nothing: a content security policy in it forbids every request.

    Raises ValueError if `data` holds NaN or infinity.
    """
    bodies = [(name, label, make(data)) for name, label, make in _SECTIONS]
    shown = [(name, label, body) for name, label, body in bodies if body]
    drawn = {key: value for key, value in data.items() if key not in _ONLY_FOR_PAGE}
    return Template(asset("template.html")).substitute(
        title=text(data["title"]),
        heading=text(data["heading"]),
        lede=text(data["lede"]),
        facts=" · ".join(f"<span>{text(fact)}</span>" for fact in data["facts"]),
        alert=f'<p class="notice alert"><strong>{text(data["alert"])}</strong></p>' if data["alert"] else "",
        version=text(data["version"]),
        css=asset("report.css"),
        toc="\n".join(f'<li><a href="#{name}">{text(label)}</a></li>' for name, label, _ in shown),
        sections="\n".join(body for _, _, body in shown),
        data=embedded(drawn),
        plotly=in_script(plotly_js()),
        js=in_script("\n".join(asset(name) for name in _SCRIPTS)),
    )


def plotly_js() -> str:
    """The text of plotly.js as the installed plotly wheel ships it."""
    return files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")


def asset(name: str) -> str:
    """The text of a file that pages are made of."""
    return files("api").joinpath("assets", "report", name).read_text(encoding="utf-8")


def in_script(code: str) -> str:
    """Code that cannot end its script element: such a sequence is only in strings, where a backslash is harmless."""
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--")
