"""One leaf table as an immutable value: its reference count, and its entries by class.

The class of an entry is ``pte - (page number << 12)``. Host page and guest page grow
together inside a segment, so a run of pages with the same flags has one class, and the
512 entries of a leaf need one bit set per class.

The value is a flat tuple ``(refcnt, class, bits, class, bits, …)``: classes ascending,
bit sets disjoint and never zero. Equal neighbours are then equal values, which is what
lets a run of thousands of leaves be stored once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bhyvesim.kernel.gpt.levels import ENTRIES

Leaf = tuple[int, ...]

EMPTY: Leaf = (0,)
ALL_ENTRIES = (1 << ENTRIES) - 1
BIT = tuple(1 << i for i in range(ENTRIES))


def flags_of(cls: int) -> int:
    """The bits of an entry of class *cls* other than its PFN.

    What remains of a class without them is a difference of page numbers, below 2^52
    either way; so bit 63 (RVI's no-execute) shows in the rounded quotient.
    """
    return cls & 0xFFF | (cls + (1 << 62) >> 63) << 63


def build(refcnt: int, classes: Mapping[int, int]) -> Leaf:
    """A leaf from ``{class: bits}``; classes without a bit are left out."""
    flat = [refcnt]
    for cls in sorted(classes):
        if classes[cls]:
            flat += cls, classes[cls]
    return tuple(flat)


def classes(leaf: Leaf) -> dict[int, int]:
    """``{class: bits}``, a fresh dict."""
    return dict(zip(leaf[1::2], leaf[2::2], strict=True))


def present(leaf: Leaf) -> int:
    """The bit set of non-zero entries."""
    if len(leaf) == 3:
        return leaf[2]
    bits = 0
    for some in leaf[2::2]:
        bits |= some
    return bits


def without(leaf: Leaf, mask: int) -> Leaf:
    """The leaf with the entries of *mask* zeroed."""
    if mask == ALL_ENTRIES:
        return leaf[:1]
    return build(leaf[0], {cls: bits & ~mask for cls, bits in classes(leaf).items()})


def counted(leaf: Leaf, refcnt: int) -> Leaf:
    """The leaf with another reference count."""
    return (refcnt, *leaf[1:])


def lowest_bit(bits: int) -> int:
    """The index of the lowest bit that is set; *bits* is not zero."""
    return (bits & -bits).bit_length() - 1


def runs_of(bits: int) -> Iterator[tuple[int, int]]:
    """``(first, end)`` of each run of set bits, ascending."""
    base = 0
    while bits:
        skip = lowest_bit(bits)
        bits >>= skip
        length = lowest_bit(~bits)
        yield base + skip, base + skip + length
        bits >>= length
        base += skip + length


def entries(leaf: Leaf) -> list[tuple[int, int, int]]:
    """``(first index, end index, class)`` of each run of one class, by index."""
    return sorted(
        (first, end, cls)
        for cls, bits in zip(leaf[1::2], leaf[2::2], strict=True)
        for first, end in runs_of(bits)
    )
