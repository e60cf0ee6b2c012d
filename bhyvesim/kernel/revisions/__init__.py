"""The table of kernel revisions, oldest first. Adding one: a file here, and a row below."""

from __future__ import annotations

from bhyvesim.kernel.revisions import (
    closed_13932,
    counted_14367,
    current_2025,
    half_open_14042,
    levels_15844,
    populated_13896,
)
from bhyvesim.kernel.revisions.revision import Revision

REVISIONS: dict[str, Revision] = {
    revision.name: revision
    for revision in (
        closed_13932.REVISION,
        half_open_14042.REVISION,
        populated_13896.REVISION,
        counted_14367.REVISION,
        levels_15844.REVISION,
        current_2025.REVISION,
    )
}
NEWEST = next(reversed(REVISIONS))

__all__ = ["NEWEST", "REVISIONS", "Revision"]
