"""What an experiment may do: a small alphabet of operations around the end of one leaf table."""

from __future__ import annotations

from typing import NamedTuple

from bhyvesim.kernel.gpt.levels import LEAF_SPAN, table_span
from bhyvesim.kernel.npt import FLAGS, OPERATIONS
from bhyvesim.kernel.revisions.revision import VMSPACE_END
from bhyvesim.ops.ioctls import (
    Access,
    AllocMemseg,
    Hold,
    MmapMemseg,
    MunmapMemseg,
    NptOp,
    Reinit,
    Release,
    Stats,
    TrackDirtyPages,
)
from bhyvesim.ops.operation import Operation
from bhyvesim.prot import ALL, EXEC, READ, WRITE, format_prot
from bhyvesim.units import PAGE_SIZE


class Move(NamedTuple):
    """An operation in words; what it *needs* to be there, what it *gives*, and what it *takes*."""

    operation: Operation
    words: str
    needs: frozenset[str] = frozenset()
    gives: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()

    def makes_sense(self, there: frozenset[str]) -> bool:
        """Whether all that it needs is there, and not all that it gives."""
        return self.needs <= there and not (self.gives and self.gives <= there)

    def after(self, there: frozenset[str]) -> frozenset[str]:
        """What is there afterwards."""
        return (there | self.gives) - self.takes


# Pages, by what they are called here: the last of a leaf and the first of the next, so that a
# range that ends one page late shows; others of the first leaf, so that two memmaps share it.
_LAST, _NEXT = LEAF_SPAN - PAGE_SIZE, LEAF_SPAN
_HOLE = _LAST - PAGE_SIZE
_FELLOW = _HOLE - PAGE_SIZE
_EXECUTE_ONLY = _FELLOW - 2 * PAGE_SIZE
_LINE = table_span(3)  # 512 GiB

_SEGMENT = "segment"


def _does(operation: Operation, words: str, needs: str = "", gives: str = "") -> Move:
    """The words in *needs* and *gives* stand for what is there."""
    return Move(operation, words, frozenset(needs.split()), frozenset(gives.split()))


def _maps(name: str, gpa: int, pages: int = 1, prot: int = ALL) -> Move:
    length = pages * PAGE_SIZE
    words = f"map [{gpa:#x}, {gpa + length:#x}) to the start of segment 0, {format_prot(prot)}"
    return _does(MmapMemseg(gpa, 0, 0, length, prot), words, _SEGMENT, name)


def _touches(name: str, gpa: int) -> Move:
    return _does(Access(gpa, 1, WRITE), f"let the guest write to page {gpa:#x}", name)


def _unmaps(name: str, gpa: int) -> Move:
    move = _does(MunmapMemseg(gpa, PAGE_SIZE), f"unmap [{gpa:#x}, {gpa + PAGE_SIZE:#x})", name)
    return move._replace(takes=frozenset((name,)))


# The order decides among experiments of one length: what anybody can do comes first.
MOVES: tuple[Move, ...] = (
    _does(Stats(), "look at the counters (bhyvectl --get-stats)"),
    _does(
        TrackDirtyPages(_LAST, 2 * PAGE_SIZE),
        f"ask for the dirty pages of [{_LAST:#x}, {_NEXT + PAGE_SIZE:#x}) (VM_TRACK_DIRTY_PAGES)",
    ),
    _does(
        NptOp(_LAST, PAGE_SIZE, OPERATIONS["GET_TRACK_DIRTY"]),
        "ask whether dirty pages are tracked (VM_NPT_OPERATION, GET_TRACK_DIRTY)",
    ),
    _does(
        AllocMemseg(4, PAGE_SIZE, "fifth"), "allocate segment 4: a page of devmem", gives="fifth"
    ),
    _does(AllocMemseg(0, 4 * PAGE_SIZE, ""), "allocate segment 0: 16K of sysmem", gives=_SEGMENT),
    _maps("last", _LAST),
    _maps("next", _NEXT),
    _maps("fellow", _FELLOW),
    _touches("next", _NEXT),
    _touches("last", _LAST),
    _touches("fellow", _FELLOW),
    _unmaps("last", _LAST),
    _unmaps("fellow", _FELLOW),
    _maps("execute-only", _EXECUTE_ONLY, prot=EXEC),
    _does(
        Access(_EXECUTE_ONLY, 1, EXEC),
        f"let the guest execute page {_EXECUTE_ONLY:#x}",
        "execute-only",
    ),
    _maps("end", VMSPACE_END - PAGE_SIZE),
    _maps("line", _LINE - PAGE_SIZE, pages=2),
    _maps("past", _LINE + PAGE_SIZE),
    _does(Reinit(), "reboot the VM (VM_REINIT)", _SEGMENT),
    _does(
        NptOp(0, 0, OPERATIONS["EN_TRACK_DIRTY"]),
        "track dirty pages from here on (VM_NPT_OPERATION, EN_TRACK_DIRTY)",
    ),
    _does(
        NptOp(_LAST, 2 * PAGE_SIZE, OPERATIONS["GET_DIRTY"] | FLAGS["BITMAP_OUT"]),
        f"ask which of [{_LAST:#x}, {_NEXT + PAGE_SIZE:#x}) are dirty (VM_NPT_OPERATION)",
        _SEGMENT,
    ),
    _does(Access(_LAST, 1, WRITE, "device"), f"let a device write to page {_LAST:#x}", "last"),
    _does(
        Access(_HOLE, 1, READ, "device"),
        f"let a device read page {_HOLE:#x}, where nothing is mapped",
        "last",
    ),
    _does(
        Hold(_LAST, READ | WRITE), f"take a hold on page {_LAST:#x}, and keep it", "last", "hold"
    ),
    _does(Release(1), "release the hold", "hold")._replace(takes=frozenset(("hold",))),
)
