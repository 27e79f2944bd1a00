"""Readings and settlements are in the journal, with their versions and runs; the tables reserved for them go."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TABLES = ("settlement", "meter")


def upgrade() -> None:
    filled = [
        table for table in TABLES if op.get_bind().scalar(sa.select(sa.func.count()).select_from(sa.table(table)))
    ]
    if filled:
        raise ValueError(f"not empty, so not dropped: {', '.join(filled)}; no version ever filled them")
    for table in TABLES:
        op.drop_table(table)


def downgrade() -> None:
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
