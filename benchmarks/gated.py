"""The kernel on wires: the stream of the ungated race, its orders spread over a feeder, each match tested by rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import c_book
from benchmarks.race import Entrant, Race
from benchmarks.wattbook_kernel import RING, KernelBook, Make, Messages, batch, pack, packets, single
from benchmarks.wires import Wires, every_row, large, radial, screened
from benchmarks.workload import Workload
from market import kernel

MOST_CANDIDATES = 256
"""As many resting orders as the kernel passes over for one that arrives."""
SAMPLES = 400
C_LOOP = "the same loop in C"


@dataclass(frozen=True)
class Condition:
    """One feeder at one state of its limits."""

    name: str
    wires: Wires
    tightness: float
    """1: the feeder's own limits; more: limits that many times nearer to the state without trade; 0: out of reach."""

    def make(self, seed: int) -> Make:
        """All orders are flexible, each at a connection drawn from `seed`."""

        def make(workload: Workload, keep: bool) -> tuple[Messages, KernelBook]:
            packed = pack(workload, self.nodes(seed, workload))
            return packed, KernelBook(workload, RING, self.wires.capacity(self.tightness), keep=keep)

        return make

    def nodes(self, seed: int, workload: Workload) -> NDArray[np.int64]:
        """Connection of each order, by handle."""
        return np.random.default_rng(seed).integers(0, self.wires.connections, workload.orders)

    def c_loop(self, seed: int) -> Callable[[Workload], Race]:
        """The same in C."""
        return lambda workload: c_book.c_gated_loop(
            workload, self.nodes(seed, workload), lambda: self.wires.capacity(self.tightness)
        )


def conditions() -> list[Condition]:
    """A small feeder with every row, a large one with the rows that its gate keeps; each slack and congested."""
    small, street = every_row(radial()), screened(large())
    return [
        Condition(f"{small.buses} buses, slack", small, 0.0),
        Condition(f"{small.buses} buses, congested", small, 3.0),
        Condition(f"{street.buses} buses screened, slack", street, 0.0),
        Condition(f"{street.buses} buses screened, congested", street, 6.0),
    ]


def entrants(condition: Condition, seed: int, release: str) -> list[Entrant]:
    """The three ways to drive the kernel, and the same loop in C if there is a compiler."""
    make = condition.make(seed)
    ways: list[tuple[str, str, Callable[[Workload], Any]]] = [
        ("batch", "whole stream in one call", batch(make)),
        ("64 at a time", "64 messages a call", packets(make, 64)),
        ("single", "one call a message", single(make)),
    ]
    if c_book.compiler() is not None:
        ways.append((C_LOOP, "whole stream in one call", condition.c_loop(seed)))
    return [Entrant(f"{condition.name}: {name}", how, release, prepare) for name, how, prepare in ways]


def infeasible(condition: Condition, seed: int, workload: Workload) -> float:
    """Share of candidates whose match the wires do not carry in full, at orders picked evenly from the stream.

    Candidates are the resting orders that an arriving one reaches, best first, until it is filled. Each is tested
    here against every row, without any of the kernel's short cuts.
    """
    messages, book = condition.make(seed)(workload, False)
    picked = max(len(messages) // SAMPLES, 1)
    reached = refused = 0
    for start in range(0, len(messages), picked):
        met, failed = _meet(messages[start], book)
        reached, refused = reached + met, refused + failed
        book.feed(messages[start : start + picked])
    return refused / max(reached, 1)


def _meet(message: Any, book: KernelBook) -> tuple[int, int]:
    """How many resting orders the message would reach, and how many of them the wires would not carry in full."""
    if message["kind"] != kernel.SUBMIT:
        return 0, 0
    buys = message["side"] == kernel.BUY
    orders = book.books[0]["orders"][book.where[book.where >= 0]]
    orders = orders[orders["side"] != message["side"]]
    distance = orders["level"] - message["level"] if buys else message["level"] - orders["level"]
    order = np.argsort(distance, kind="stable")
    remaining, met, failed = int(message["quantity"]), 0, 0
    for place in order[: np.count_nonzero(distance <= 0)][:MOST_CANDIDATES]:
        quantity = min(remaining, int(orders["quantity"][place]))
        other = int(orders["node"][place])
        inject, withdraw = (other, int(message["node"])) if buys else (int(message["node"]), other)
        met += 1
        if carries(book.capacity, inject, withdraw, quantity):
            remaining -= quantity
        else:
            failed += 1
        if remaining == 0:
            break
    return met, failed


def carries(capacity: tuple[Any, ...], inject: int, withdraw: int, quantity: int) -> bool:
    """Whether every row stays within its squared bounds when `quantity` Wh move."""
    _, _, state, sensitivity, _, _, (least, most, *_), _ = capacity
    moved: NDArray[np.float64] = state + quantity * (sensitivity[inject] - sensitivity[withdraw])
    squares = (moved**2).sum(axis=0)
    return bool(((squares >= least) & (squares <= most)).all())
