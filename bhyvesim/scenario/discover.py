"""Telling scenario files from other YAML files, without reading them as YAML."""

from __future__ import annotations

_KEYS = (b"title:", b"steps:")


def looks_like_a_scenario(text: bytes) -> bool:
    """Whether *text* has a scenario's keys at the top; what else it holds is for the reader."""
    lines = text.splitlines()
    return all(any(line.startswith(key) for line in lines) for key in _KEYS)
