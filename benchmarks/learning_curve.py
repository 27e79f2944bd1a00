"""The learning curve of `benchmarks/learning.py` as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

Curve = list[tuple[int, float]]
"""Decisions made so far, and the share of the bill that is saved."""
_DASHES = ("2 3", "8 3", "8 3 2 3", "")
_COLOURS = ("#0072B2", "#C25400", "#009E73", "#A04080", "#8A7000")


def picture(curves: Sequence[Curve], lines: Mapping[str, float], path: Path) -> None:
    """Draw the curve of each training, and a level line with its name for every opponent, as SVG."""
    wide, high, left, right, bottom = 720, 400, 60, 180, 46
    every = [share for curve in curves for _, share in curve] + list(lines.values())
    step = 0.1 if max(every) - min(every) > 0.3 else 0.02
    low, top = np.floor(min(every) / step) * step, np.ceil(max(every) / step) * step
    most = max(done for curve in curves for done, _ in curve)

    def across(done: float) -> float:
        return float(left + (wide - left - right) * done / most)

    def up(share: float) -> float:
        return float((high - bottom) - (high - bottom - 34) * (share - low) / (top - low))

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif">']
    parts.append(f'<rect width="{wide}" height="{high}" fill="#fff"/>')
    for tick in np.arange(low, top + 1e-9, step):
        parts.append(f'<path d="M{left} {up(tick):.1f}H{wide - right}" stroke="#ddd"/>')
        text = f'<text x="{left - 8}" y="{up(tick) + 4:.1f}" font-size="12" text-anchor="end">{tick:.0%}</text>'
        parts.append(text)
    for tick in np.linspace(0, most, 5):
        place = f'x="{across(tick):.1f}" y="{high - bottom + 18}"'
        parts.append(f'<text {place} font-size="12" text-anchor="middle">{tick / 1000:,.0f}</text>')
    heights = _apart([up(share) for share in lines.values()], 15)
    for (name, share), height, dash in zip(lines.items(), heights, _DASHES, strict=False):
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        parts.append(f'<path d="M{left} {up(share):.1f}H{wide - right}" stroke="#222"{dashed}/>')
        parts.append(f'<text x="{wide - right + 6}" y="{height + 4:.1f}" font-size="12">{name}</text>')
    for number, curve in enumerate(curves):
        colour = _COLOURS[number % len(_COLOURS)]
        drawn = " ".join(f"{across(done):.1f},{up(share):.1f}" for done, share in curve)
        parts.append(f'<polyline points="{drawn}" stroke="{colour}" stroke-width="2" fill="none"/>')
        start = left + 10 + 110 * number
        parts.append(f'<path d="M{start} 16h26" stroke="{colour}" stroke-width="2.4"/>')
        parts.append(f'<text x="{start + 32}" y="20" font-size="13">training {number + 1}</text>')
    middle = (left + wide - right) / 2
    parts.append(f'<text x="{middle}" y="{high - 8}" font-size="13" text-anchor="middle">thousand decisions</text>')
    turned = f'transform="rotate(-90 14 {high / 2})" text-anchor="middle"'
    parts.append(f'<text x="14" y="{high / 2}" font-size="13" {turned}>share of the bill saved</text></svg>')
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _apart(heights: Sequence[float], least: float) -> list[float]:
    """The same heights, moved up where two of them are nearer than `least`."""
    found = list(heights)
    order = sorted(range(len(found)), key=lambda row: -found[row])
    for below, row in pairwise(order):
        found[row] = min(found[row], found[below] - least)
    return found
