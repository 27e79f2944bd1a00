"""The exchange: orders in, events out. Integers only; no clock, no randomness, no volts."""
