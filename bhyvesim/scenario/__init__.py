"""Scenarios: what happens to a VM, and what must come of it, on every kernel of a matrix."""
