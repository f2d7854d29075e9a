"""Environments of stages: conda files, locked and built into the store without conda. On the driver's side."""
