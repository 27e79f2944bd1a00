"""Devices: one file a kind, each a fleet on arrays of devices x slots."""
