"""Orders by the names that clients give them: the same name again gets the first answer again, for ever."""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

import msgspec

from market.events import Event, Rejected
from market.orders import Basket, Submit
from market.rules import reject

_encoder = msgspec.json.Encoder(order="sorted")


class _Answer(NamedTuple):
    digest: bytes
    event: Event


class Identities:
    """What each (participant, client_order_id) was answered. Grows with every named order, by about 200 bytes."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], _Answer] = {}

    def seen(self, command: Submit | Basket) -> Event | None:
        """The first answer if this name was used before, or a refusal if it was for another order."""
        answer = self._answers.get((command.participant, command.client_order_id))
        if answer is None:
            return None
        if answer.digest != _digest(command):
            name = command.client_order_id
            return reject("ID_REUSED", f"{name!r} was used for another order; choose a new one", "client_order_id")
        return answer.event

    def keep(self, command: Submit | Basket, event: Event) -> None:
        self._answers[command.participant, command.client_order_id] = _Answer(_digest(command), event)

    def state(self) -> list[object]:
        """All names and their answers as plain values, in the order in which they were given."""
        return [[*key, answer.digest.hex(), answer.event] for key, answer in self._answers.items()]


def problem(name: str) -> Rejected | None:
    """A client's name for an order has at most 64 printable ASCII characters."""
    if len(name) <= 64 and name.isascii() and name.isprintable():
        return None
    return reject("BAD_ID", f"at most 64 printable ASCII characters, got {name!r:.80}", "client_order_id")


def _digest(command: Submit | Basket) -> bytes:
    return sha256(_encoder.encode(command)).digest()[:16]
