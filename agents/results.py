"""Results: what a run was, as pandas tables and one summary, written to and read from a directory.

Energy is in kWh and money in the market's currency, prices in ct/kWh; the exact integers stand beside them where a
table is a record of its own (`trades`, `limited`). docs/simulate.md lists every column and every key.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LAYOUT = 2
"""Of these files. It rises when something is added that reports need and that older runs did not write."""
TABLES = ("trades", "slots", "participants", "limited", "depth", "envelopes")


@dataclass(frozen=True, eq=False)
class Results:
    """One run."""

    trades: pd.DataFrame
    slots: pd.DataFrame
    participants: pd.DataFrame
    limited: pd.DataFrame
    depth: pd.DataFrame
    envelopes: pd.DataFrame
    """Empty unless the scenario asks for them."""
    grid: dict[str, NDArray[Any]]
    """`u_pu` (T, N), `loading` (T, B), `loss_w` and `slack_w` (T,), `injection_wh` (T, C), and `bus_ids`,
    `branch_ids`, `connection_ids`, `slots`; with a comparison without gate also `off_u_pu` and `off_loading`."""
    summary: dict[str, Any]
    formats: tuple[str, ...] = ("csv",)
    """In which to write the trades; csv in any case."""

    def write(self, directory: str | Path) -> list[Path]:
        """Write trades.csv (and .parquet if asked for), the other tables, grid.npz and summary.json; their paths.

        Same seed, same bytes, summary.json's run times aside. Raises OSError if the directory cannot be written.
        """
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for name in TABLES:
            table: pd.DataFrame = getattr(self, name)
            table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
            written.append(folder / f"{name}.csv")
            if name == "trades" and "parquet" in self.formats:
                table.to_parquet(folder / "trades.parquet", index=False)
                written.append(folder / "trades.parquet")
        np.savez_compressed(folder / "grid.npz", **self.grid)  # type: ignore[arg-type]
        text = json.dumps({"layout": LAYOUT} | self.summary, indent=2, allow_nan=False) + "\n"
        (folder / "summary.json").write_text(text, encoding="utf-8")
        return [*written, folder / "grid.npz", folder / "summary.json"]

    @classmethod
    def read(cls, directory: str | Path) -> Results:
        """What `write` wrote.

        Raises OSError if a file is missing, ValueError if one is damaged, naming it, or of another layout.
        """
        folder = Path(directory)
        trades, slots, participants, limited, depth, envelopes = (_read(folder / f"{name}.csv") for name in TABLES)
        try:
            with np.load(folder / "grid.npz", allow_pickle=False) as stored:
                grid = {name: stored[name] for name in stored.files}
        except OSError:
            raise
        except Exception as error:
            raise ValueError(f"{folder / 'grid.npz'} is damaged: {error}") from error
        try:
            summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{folder / 'summary.json'} is damaged: {error}") from error
        if not isinstance(summary, dict) or summary.pop("layout", 1) != LAYOUT:
            raise ValueError(f"{folder} was written by another version of Wattbook; run the scenario again")
        return cls(trades, slots, participants, limited, depth, envelopes, grid, summary)


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, keep_default_na=False, na_values={name: [""] for name in _NUMBERS})
    except (ValueError, pd.errors.ParserError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


_NUMBERS = (
    "price_ct", "price_low_ct", "price_high_ct", "received_ct", "paid_ct", "self_sufficiency", "self_consumption",
    "share_of_sales",
)  # fmt: skip
"""Columns in which nothing stands for no number."""
