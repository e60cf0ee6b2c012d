"""The recorded traces: what the real kernel code of each revision did."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

PATH = Path(__file__).with_name("traces.jsonl.gz")


def load():
    with gzip.open(PATH, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


TRACES = load()
