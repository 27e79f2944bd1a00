"""`wattbook feeder`: check a feeder file and print its figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.console import out, say

if TYPE_CHECKING:
    from grid.feeder import Feeder


def feeder(
    file: Annotated[
        Path, typer.Argument(help="A feeder in the native JSON format.", metavar="FILE", show_default=False)
    ],
) -> None:
    """Check a feeder file and print its figures; every error at once if there are any."""
    from grid.feeder import Feeder, FeederError

    try:
        found = Feeder.from_json(file.read_bytes())
    except FeederError as error:
        raise FeederError([f"{file}: {line}" for line in error.errors]) from error
    say(f"{file}: no errors", "green")
    _show(found)


def _phases(feeder: Feeder) -> str:
    single = sum(phase != "abc" for phase in feeder.connection_phase)
    if feeder.three_phase:
        return f"three; {single} connections at one of them"
    return "one for all" + (f"; {single} connections name theirs, but {feeder.phases_lack}" if single else "")


def _show(feeder: Feeder) -> None:
    import numpy as np
    from rich.table import Table

    from api.report_layout import tree

    table = Table(show_header=False, box=None)
    rated = ", ".join(f"{u:g} V" for u in np.unique(feeder.u_rated_v)[::-1])
    depth = tree(feeder).depth
    rows = [
        ("name", feeder.name or "–"),
        ("buses", f"{len(feeder.bus_ids)} ({rated})"),
        ("lines", str(len(feeder.line_ids))),
        (
            "transformers",
            ", ".join(f"{i} {s / 1000:g} kVA" for i, s in zip(feeder.transformer_ids, feeder.s_va, strict=True))
            or "none",
        ),
        ("connections", str(len(feeder.connection_ids))),
        ("phases", _phases(feeder)),
        ("source", f"bus {feeder.bus_ids[feeder.source_bus]} at {feeder.source_u_pu:g} pu"),
        ("farthest bus", f"{feeder.bus_ids[int(np.argmax(depth))]}, {int(depth.max())} branches from the source"),
        ("places known", f"{int(np.isfinite(feeder.x).sum())} of {len(feeder.bus_ids)} buses"),
        ("licence", feeder.license or "–"),
        ("attribution", feeder.attribution or "–"),
        ("SHA-256", feeder.digest),
    ]
    for name, value in rows:
        table.add_row(name, value)
    out().print(table, soft_wrap=True)
