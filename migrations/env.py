"""Alembic's entry: migrate over the connection that the caller opened, within the caller's transaction."""

from __future__ import annotations

from alembic import context

from market.schema import grant

connection = context.config.attributes["connection"]
context.configure(connection=connection)
context.run_migrations()
grant(connection)
