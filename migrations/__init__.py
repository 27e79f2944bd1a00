"""Versions of the ledger's schema, for Alembic. `market.store.upgrade` runs them; no alembic.ini is needed."""
