"""The section of the report on operating envelopes: what each connection could rely on over the day."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from api.report_html import figure, folded, section, table, text
from api.report_sections import Data


def collect(found: pd.DataFrame, starts: NDArray[np.int64]) -> dict[str, Any] | None:
    """Import and export [kW] of every participant, a value per drawn step: the least of its slots; None without any."""
    if not len(found):
        return None
    names = found["participant"].iloc[: found["participant"].nunique()].tolist()
    shape = (-1, len(names))
    values = {
        key: np.round(np.minimum.reduceat(found[f"{key}_kw"].to_numpy().reshape(shape), starts), 2).T.tolist()
        for key in ("import", "export")
    }
    unproven = int((~found["proven"].to_numpy(dtype=np.bool_).reshape(shape)[:, 0]).sum())
    return {"names": names, **values, "unproven": unproven}


def envelopes(data: Data) -> str:
    """The section, "" where the run has no envelopes."""
    found = data.get("envelopes")
    if not found:
        return ""
    options = "".join(f'<option value="{place}">{text(name)}</option>' for place, name in enumerate(found["names"]))
    controls = (
        '<div class="controls"><label for="envelope-of">Participant</label>'
        f'<select id="envelope-of">{options}</select></div>'
    )
    rows = [
        (name, min(draws), max(draws), min(feeds), max(feeds))
        for name, draws, feeds in zip(found["names"], found["import"], found["export"], strict=True)
    ]
    columns = [
        ("participant", None),
        ("import: least, kW", 2),
        ("most", 2),
        ("export: least, kW", 2),
        ("most", 2),
    ]
    caption = (
        "<strong>Between the lines everything is safe</strong>, whatever all others do between theirs: "
        "export above zero, import below."
    )
    after = folded("Table: limits of every participant", table("Least and most over the day", columns, rows))
    note = "What each connection may feed in and draw in every slot, shared equally and proven for the whole feeder."
    if found["unproven"]:
        note += f" In {found['unproven']} slots what flows anyway is not proven safe, and nothing beside it is allowed."
    body = figure("envelopes", "Import and export limits per slot", caption, controls=controls, after=after)
    return section("envelopes", "Envelopes", note, body)
