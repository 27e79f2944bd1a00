"""Meter readings, settlement runs, and the tiles and checkpoints of the Merkle log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TABLES = ("tile", "checkpoint", "settlement", "meter")


def upgrade() -> None:
    op.create_table(
        "meter",
        sa.Column("point", sa.Text, primary_key=True),
        sa.Column("slot", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("version", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("wh", WHOLE, nullable=False),
    )
    op.create_table(
        "settlement",
        sa.Column("slot", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("run", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("participant", sa.Text, primary_key=True),
        sa.Column("metered", WHOLE, nullable=False),
        sa.Column("contracted", WHOLE, nullable=False),
        sa.Column("imbalance", WHOLE, nullable=False),
        sa.Column("seq", WHOLE, sa.ForeignKey("journal.seq"), nullable=False),
    )
    op.create_table(
        "checkpoint",
        sa.Column("size", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_table(
        "tile",
        sa.Column("level", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("position", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("hashes", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    filled = [
        table for table in TABLES if op.get_bind().scalar(sa.select(sa.func.count()).select_from(sa.table(table)))
    ]
    if filled:
        raise ValueError(f"not empty, so not dropped: {', '.join(filled)}")
    for table in TABLES:
        op.drop_table(table)
