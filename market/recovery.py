"""An exchange brought back to where its ledger ends: every command is carried out again, and the events compared.

There is no other stored state that could disagree with the journal. A processor core replays tens of thousands of
entries a second, so that a year of a market of a hundred participants is back within minutes.
"""

from __future__ import annotations

from market.exchange import Exchange
from market.ledger import LedgerError
from market.replay import GateFactory, Replayer
from market.store import Ledger


def recover(ledger: Ledger, gate_factory: GateFactory) -> Exchange | None:
    """The exchange of a ledger, ready for the next command; None if no market was created in it yet.

    The wires' recorded answers are taken as they are; the gate that `gate_factory(settings, feeder_json)` makes learns
    what was traded and answers from here on.
    Raises LedgerError if an entry does not follow from those before it, JournalError if one cannot be read.
    """
    replayer = Replayer()
    for page in ledger.entry_pages():
        mismatch = replayer.run(page)
        if mismatch is not None:
            raise LedgerError(
                f"{ledger.name}: entry {mismatch.seq} does not follow from those before it; audit the ledger, and go "
                f"on from a copy that is sound ({mismatch.detail})"
            )
    meta = ledger.meta()
    if meta.market is None or meta.feeder is None:
        return None
    exchange = replayer.exchange
    exchange.adopt(gate_factory(meta.market, meta.feeder))
    return exchange
