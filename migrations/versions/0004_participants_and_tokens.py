"""Who may connect: participants, and the tokens by which they are known."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "participant",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("created", WHOLE, nullable=False),
    )
    op.create_table(
        "token",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("participant", sa.Text, sa.ForeignKey("participant.name"), nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("created", WHOLE, nullable=False),
        sa.Column("revoked", WHOLE),
        sa.CheckConstraint("role IN ('participant', 'operator', 'auditor')", name="token_role"),
    )


def downgrade() -> None:
    if op.get_bind().scalar(sa.text("SELECT count(*) FROM participant")):
        raise ValueError("it knows participants and their tokens, which would be lost")
    op.drop_table("token")
    op.drop_table("participant")
