"""Fill the tiles of the log from the journal, keep tiles and checkpoints append-only, and name the keys that sign."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from market.merkle import SIZE, Tree
from market.schema import append_only, changeable

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
GUARDED = ("tile", "checkpoint", "verifier")
PAGE = 65_536
"""Leaf hashes read at a time: whole tiles."""


def upgrade() -> None:
    op.create_table(
        "verifier",
        sa.Column("number", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("size", WHOLE, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    connection = op.get_bind()
    journal = sa.table("journal", sa.column("seq"), sa.column("leaf"))
    tile = sa.table("tile", sa.column("level"), sa.column("position"), sa.column("hashes"))
    by_seq = sa.select(journal.c.seq, journal.c.leaf).order_by(journal.c.seq).limit(PAGE)
    tree, last = Tree(), 0
    while rows := connection.execute(by_seq.where(journal.c.seq > last)).all():
        # What is no hash gives its place to zeros; the audit finds both.
        tiles = tree.extend(
            [leaf if isinstance(leaf, bytes) and len(leaf) == SIZE else bytes(SIZE) for _, leaf in rows]
        )
        if tiles:
            op.bulk_insert(tile, [full._asdict() for full in tiles])
        last = rows[-1].seq
    for table in GUARDED:
        for statement in append_only(table, connection.dialect.name):
            op.execute(statement)


def downgrade() -> None:
    connection = op.get_bind()
    if connection.scalar(sa.select(sa.func.count()).select_from(sa.table("verifier"))):
        raise ValueError("not empty, so not dropped: verifier")
    op.drop_table("verifier")
    for table in ("tile", "checkpoint"):
        for statement in changeable(table, connection.dialect.name):
            op.execute(statement)
    # Tiles follow from the journal; the next upgrade computes them again.
    op.execute(sa.delete(sa.table("tile")))
