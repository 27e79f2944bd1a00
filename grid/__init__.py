"""Volts: feeders, power flow and the capacity gate. Knows `market.capacity` only, and that only in `grid.gate`."""
