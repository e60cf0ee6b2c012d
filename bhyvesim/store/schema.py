"""The tables of the state file, as the newest version has them.

A VM is a name for the last moment of a life. A moment is small: what else there is of it (runs
of leaf tables, windows of them, pages of memory) are parts, each valid from one moment until
another, so that a moment costs what it changed, and any of them is read by one query. Moments
and parts are never changed; events say what led from one moment to the next.
docs/decisions/0006-moments.md has the reasons.
"""

from __future__ import annotations

APPLICATION_ID = 0x62687976  # "bhyv"
OLDEST_VERSION, VERSION = 1, 5  # that can be read; that is written
FOREVER = (1 << 62) - 1  # until when a part is valid that nothing has replaced

# `sum` is a checksum of the row's other columns (rows.checksum).
TABLES = {
    "spec": """(
        digest TEXT PRIMARY KEY,
        body TEXT NOT NULL,
        sum INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "life": """(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        vm TEXT NOT NULL
    )""",
    "vm": """(
        name TEXT PRIMARY KEY,
        life INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        stamp INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "moment": """(
        life INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        state TEXT NOT NULL,
        spec TEXT NOT NULL,
        maps TEXT NOT NULL,
        outline BLOB NOT NULL,
        resident TEXT NOT NULL,
        parts INTEGER NOT NULL,
        crash INTEGER,
        sum INTEGER NOT NULL,
        PRIMARY KEY (life, seq)
    ) WITHOUT ROWID""",
    "event": """(
        life INTEGER NOT NULL,
        number INTEGER NOT NULL,
        time_ns TEXT NOT NULL,
        action TEXT NOT NULL,
        result TEXT NOT NULL,
        stages TEXT NOT NULL,
        digest TEXT NOT NULL,
        crash INTEGER,
        sum INTEGER NOT NULL,
        PRIMARY KEY (life, number)
    ) WITHOUT ROWID""",
    "part": """(
        id INTEGER PRIMARY KEY,
        life INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        first INTEGER NOT NULL,
        "end" INTEGER NOT NULL,
        entries INTEGER NOT NULL,
        since INTEGER NOT NULL,
        until INTEGER NOT NULL,
        hash BLOB NOT NULL,
        body BLOB NOT NULL,
        sum INTEGER NOT NULL
    )""",
    "crash": """(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        vm TEXT NOT NULL,
        time_ns TEXT NOT NULL,
        head TEXT NOT NULL,
        record BLOB NOT NULL
    )""",
    "host": """(
        id INTEGER PRIMARY KEY CHECK (id = 1),
        body TEXT NOT NULL,
        sum INTEGER NOT NULL
    )""",
}
INDEXES = {
    "life_of": "life (vm)",
    "part_at": 'part (life, until, since, kind, first, "end", entries, hash)',
}


def statements() -> list[str]:
    """What makes all of it."""
    return [
        *(f"CREATE TABLE {name} {columns}" for name, columns in TABLES.items()),
        *(f"CREATE INDEX {name} ON {columns}" for name, columns in INDEXES.items()),
    ]
