"""Tiny models of real architectures, and a hub on loopback that serves them."""
