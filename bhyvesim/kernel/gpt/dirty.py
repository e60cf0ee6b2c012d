"""Dirty bits of a range, as bitmaps: bit *i* stands for its *i*-th page."""

from __future__ import annotations

from collections.abc import Iterator

from bhyvesim.kernel.gpt.engine import Gpt, Piece
from bhyvesim.kernel.gpt.leaf import ALL_ENTRIES, Leaf, build, classes
from bhyvesim.kernel.gpt.levels import ENTRY_BITS


def with_tables(gpt: Gpt, pages: range) -> int:
    """Which of *pages* have a leaf table."""
    bitmap = 0
    for piece in gpt.pieces(pages):
        if piece.leaf is not None:
            bitmap |= _spread(piece.mask, piece, pages)
    return bitmap


def dirty_bitmap(gpt: Gpt, pages: range) -> int:
    """Which of *pages* have an entry whose dirty bit is set."""
    bitmap = 0
    for piece in gpt.pieces(pages):
        bits = 0 if piece.leaf is None else _dirty(gpt, piece.leaf) & piece.mask
        if bits:
            bitmap |= _spread(bits, piece, pages)
    return bitmap


def dirty_runs(gpt: Gpt, pages: range) -> Iterator[tuple[int, int, int]]:
    """Runs of leaf tables that are dirty alike in *pages*: ``(first, end, entries)``, by index."""
    for piece in gpt.pieces(pages):
        bits = 0 if piece.leaf is None else _dirty(gpt, piece.leaf) & piece.mask
        if bits:
            yield piece.first, piece.end, bits


def clear(gpt: Gpt, pages: range, bitmap: int | None = None) -> None:
    """Clear the dirty bits of *pages*, or of those of *bitmap*."""
    for piece in gpt.pieces(pages):
        dirty = 0 if piece.leaf is None else _dirty(gpt, piece.leaf) & piece.mask
        if piece.leaf is None or not dirty:
            continue
        if bitmap is None:
            gpt.leaves.assign(piece.first, piece.end, _cleaned(gpt, piece.leaf, dirty))
            continue
        for index in range(piece.first, piece.end):
            wanted = dirty & selected(bitmap, index, pages)
            if wanted:
                gpt.leaves.assign(index, index + 1, _cleaned(gpt, piece.leaf, wanted))


def selected(bitmap: int, index: int, pages: range) -> int:
    """The entries of leaf *index* that *bitmap* of *pages* selects."""
    return _shift(bitmap, pages.start - (index << ENTRY_BITS)) & ALL_ENTRIES


def _cleaned(gpt: Gpt, leaf: Leaf, wanted: int) -> Leaf:
    table: dict[int, int] = {}
    for cls, bits in classes(leaf).items():
        for of, some in ((cls & ~gpt.npt.dirty, bits & wanted), (cls, bits & ~wanted)):
            if some:
                table[of] = table.get(of, 0) | some
    return build(leaf[0], table)


def _dirty(gpt: Gpt, leaf: Leaf) -> int:
    bits = 0
    for cls, some in classes(leaf).items():
        if cls & gpt.npt.dirty:
            bits |= some
    return bits


def _spread(bits: int, piece: Piece, pages: range) -> int:
    """The same entries *bits* of every leaf of *piece*, as a bitmap of *pages*."""
    count = piece.end - piece.first
    repeated = bits * (((1 << (count << ENTRY_BITS)) - 1) // ALL_ENTRIES) if count > 1 else bits
    return _shift(repeated, (piece.first << ENTRY_BITS) - pages.start)


def _shift(bits: int, places: int) -> int:
    return bits << places if places >= 0 else bits >> -places
