"""Journal and postings, append-only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from market.schema import append_only

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "journal",
        sa.Column("seq", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("leaf", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "posting",
        sa.Column("seq", WHOLE, sa.ForeignKey("journal.seq"), primary_key=True, autoincrement=False),
        sa.Column("line", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("asset", sa.Text, nullable=False),
        sa.Column("amount", WHOLE, nullable=False),
        sqlite_with_rowid=False,
    )
    for statement in append_only("journal", op.get_bind().dialect.name):
        op.execute(statement)
    for statement in append_only("posting", op.get_bind().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    if op.get_bind().scalar(sa.text("SELECT count(*) FROM journal")):
        raise ValueError("the journal holds entries and is never dropped; to be rid of a ledger, delete its file")
    op.drop_table("posting")
    op.drop_table("journal")
