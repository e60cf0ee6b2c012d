"""The builds of a kernel."""

from __future__ import annotations


def build_name(debug: bool) -> str:
    """What a kernel build is called: DEBUG with live ASSERTs, else production."""
    return "DEBUG" if debug else "production"
