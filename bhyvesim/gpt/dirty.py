"""Dirty bits of a range, as a bitmap: bit *i* stands for its *i*-th page."""

from __future__ import annotations

from bhyvesim.gpt.engine import Gpt, Piece
from bhyvesim.gpt.leaf import ALL_ENTRIES, Leaf, build, classes
from bhyvesim.gpt.levels import ENTRY_BITS


def dirty_bitmap(gpt: Gpt, pages: range) -> int:
    """Which of *pages* have an entry whose dirty bit is set."""
    bitmap = 0
    for piece in gpt.pieces(pages):
        bits = 0 if piece.leaf is None else _dirty(gpt, piece.leaf) & piece.mask
        if bits:
            for index in range(piece.first, piece.end):
                bitmap |= _shift(bits, (index << ENTRY_BITS) - pages.start)
    return bitmap


def mark(gpt: Gpt, pages: range, bitmap: int, *, dirty: bool) -> None:
    """Set or clear the dirty bits of those pages of *bitmap* that have an entry."""
    for piece in gpt.pieces(pages):
        if piece.leaf is None:
            continue
        for index in range(piece.first, piece.end):
            start = (index << ENTRY_BITS) - pages.start
            wanted = _shift(bitmap, -start) & ALL_ENTRIES & piece.mask
            if wanted:
                _mark_leaf(gpt, index, piece, wanted, dirty)


def _mark_leaf(gpt: Gpt, index: int, piece: Piece, wanted: int, dirty: bool) -> None:
    assert piece.leaf is not None
    bit = gpt.npt.dirty
    table: dict[int, int] = {}
    for cls, bits in classes(piece.leaf).items():
        changed = cls | bit if dirty else cls & ~bit
        for of, some in ((changed, bits & wanted), (cls, bits & ~wanted)):
            if some:
                table[of] = table.get(of, 0) | some
    gpt.leaves.assign(index, index + 1, build(piece.leaf[0], table))


def _dirty(gpt: Gpt, leaf: Leaf) -> int:
    bits = 0
    for cls, some in classes(leaf).items():
        if cls & gpt.npt.dirty:
            bits |= some
    return bits


def _shift(bits: int, places: int) -> int:
    return bits << places if places >= 0 else bits >> -places
