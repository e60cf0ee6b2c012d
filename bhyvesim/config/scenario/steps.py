"""The steps of a scenario: their keys, and how to read them."""

from __future__ import annotations

from collections.abc import Callable

from bhyvesim.config import readers as r
from bhyvesim.config.document import Node
from bhyvesim.config.scenario import nodes as n
from bhyvesim.kernel.memory import Memmap
from bhyvesim.kernel.npt import FLAGS, OPERATIONS
from bhyvesim.prot import ALL
from bhyvesim.scenario import steps as do
from bhyvesim.scenario.model import Action
from bhyvesim.units import shorten
from bhyvesim.vm.spec import SegmentSpec, TouchSpec

MAX_CONTENT = 256 << 20


def _create(fields: r.Fields) -> Action:
    return do.Create()


def _alloc(fields: r.Fields) -> Action:
    name = fields.get("name", r.text, "")
    pfn = fields.get("host_pfn", r.natural, None)
    segment = SegmentSpec(
        fields.need("id", r.integer),
        "" if name == "sysmem" else name,
        fields.need("size", n.number),
        pfn,
    )
    return do.AllocMemseg(segment)


def _map(fields: r.Fields) -> Action:
    return do.Map(
        Memmap(
            gpa=fields.need("gpa", n.number),
            segid=fields.need("segment", r.integer),
            segoff=fields.get("offset", n.number, 0),
            length=fields.need("len", n.number),
            prot=fields.get("prot", _raw_prot, ALL),
            wired=fields.get("wired", r.boolean, False),
        )
    )


def _raw_prot(node: Node) -> int:
    """A protection, or the bare mask, which may be one that the kernel refuses."""
    word = r.scalar(node, "a protection such as r-x")
    return r.integer(node) if word.lstrip("-").isdigit() else r.prot(node)


def _unmap(fields: r.Fields) -> Action:
    return do.Unmap(fields.need("gpa", n.number), fields.need("len", n.number))


def _touch(fields: r.Fields) -> Action:
    touch = TouchSpec(
        fields.need("gpa", n.number), fields.need("len", r.length), *r.access_by(fields)
    )
    every = fields.get("every", n.positive, None)
    if every is not None and touch.by != "vcpu":
        raise fields.place("every").error(f"every with by: {touch.by}", "by: vcpu, or no every")
    return do.Touch(touch) if every is None else do.TouchEvery(touch, every)


def _where(fields: r.Fields) -> do.Where:
    if "gpa" in fields:
        for key in ("segment", "offset"):
            if key in fields:
                raise fields.place(key).error(f"{key} together with gpa", "one of the two")
        return do.Where(gpa=fields.need("gpa", n.number))
    if "segment" not in fields:
        raise fields.node.error("no place", "gpa (through the guest), or segment and offset")
    return do.Where(
        segid=fields.need("segment", r.integer), offset=fields.get("offset", n.number, 0)
    )


def _content_length(node: Node) -> int:
    length = r.length(node)
    if length > MAX_CONTENT:
        raise node.error(f"{length} bytes", f"at most {MAX_CONTENT}")
    return length


def _fill(fields: r.Fields) -> Action:
    length = fields.need("len", _content_length)
    return do.Fill(_where(fields), length, fields.need("byte", n.byte))


def _integers(fields: r.Fields) -> tuple[int, int, int]:
    """(size, count, stride) of the integers that a poke or peek is about."""
    size = fields.get("size", n.integer_size, 8)
    count = fields.get("count", n.positive, 1)
    stride = fields.get("stride", r.length, size)
    if count * stride > MAX_CONTENT:
        raise fields.node.error(f"{count} values, {stride} bytes apart", f"{MAX_CONTENT} at most")
    return size, count, stride


def _poke(fields: r.Fields) -> Action:
    value = fields.need("value", n.series)
    return do.Poke(_where(fields), *_integers(fields), value)


def _peek(fields: r.Fields) -> Action:
    if "len" in fields:
        return do.PeekBytes(_where(fields), fields.need("len", _content_length))
    return do.Peek(_where(fields), *_integers(fields))


def _dirty(fields: r.Fields) -> Action:
    """``read`` is VM_TRACK_DIRTY_PAGES; the others are operations of VM_NPT_OPERATION."""
    word = fields.get("op", r.choice("read", *_DIRTY_OPERATIONS), "read")
    gpa, length = fields.need("gpa", n.number), fields.need("len", n.number)
    bitmap = fields.get("pages", n.pages, None)
    if word in _DIRTY_OPERATIONS:
        return do.Dirty(gpa, length, _DIRTY_OPERATIONS[word], bitmap)
    if bitmap is not None:
        raise fields.place("pages").error("pages of a read", "op: get, set or reset with it")
    return do.TrackDirty(gpa, length)


_DIRTY_OPERATIONS = {"get": "GET_DIRTY", "set": "SET_DIRTY", "reset": "RESET_DIRTY"}


def _hold(fields: r.Fields) -> Action:
    return do.Hold(fields.need("gpa", n.number), r.held_access(fields))


def _release(fields: r.Fields) -> Action:
    return do.Release(fields.need("hold", r.natural), fields.get("dirty", r.boolean, True))


def _npt(fields: r.Fields) -> Action:
    return do.Npt(
        fields.need("gpa", n.number),
        fields.need("len", n.number),
        fields.need("operation", _operation),
        fields.get("bitmap", n.bitmap, None),
    )


def _operation(node: Node) -> int:
    """A raw number, or names or'ed as C does: ``GET_DIRTY|BITMAP_OUT``."""
    word = r.scalar(node, "a number, or names such as GET_DIRTY|BITMAP_OUT")
    if word[:1].isdigit():
        number = r.natural(node)
    else:
        number = 0
        known = {**OPERATIONS, **FLAGS}
        for name in word.split("|"):
            if name.strip() not in known:
                raise node.error(
                    f"{shorten(name.strip())} is not known", f"one of {r.listed(known)}"
                )
            number |= known[name.strip()]
    if number >> 32:
        raise node.error(f"{number:#x} is too large", "a number of 32 bits")
    return number


def _track_dirty(fields: r.Fields) -> Action:
    return do.TrackDirty(fields.need("gpa", n.number), fields.need("len", n.number))


_ACCESS_RESULTS = ("pages", "mapped", "fault", "gpa")
_BITMAP_RESULTS = ("dirty", "bitmap")
_WHERE = ("gpa", "segment", "offset")

# name: (its keys, how to read them, what expect may say of it beyond errno, panic and state)
STEPS: dict[str, tuple[tuple[str, ...], Callable[[r.Fields], Action], tuple[str, ...]]] = {
    "create": ((), _create, _ACCESS_RESULTS),
    "alloc-memseg": (("id", "size", "name", "host_pfn"), _alloc, ()),
    "map": (("gpa", "segment", "offset", "len", "prot", "wired"), _map, ("mapped",)),
    "unmap": (("gpa", "len"), _unmap, ("lost",)),
    "touch": (("gpa", "len", "access", "by", "every"), _touch, _ACCESS_RESULTS),
    "fill": ((*_WHERE, "len", "byte"), _fill, _ACCESS_RESULTS),
    "poke": ((*_WHERE, "size", "count", "stride", "value"), _poke, _ACCESS_RESULTS),
    "peek": (
        (*_WHERE, "size", "count", "stride", "len"),
        _peek,
        (*_ACCESS_RESULTS, "value", "byte"),
    ),
    "reboot": ((), lambda fields: do.Reboot(), (*_ACCESS_RESULTS, "lost")),
    "destroy": ((), lambda fields: do.Destroy(), ("leaks",)),
    "dirty": (("gpa", "len", "op", "pages"), _dirty, _BITMAP_RESULTS),
    "hold": (("gpa", "access"), _hold, ("hold", "fault", "gpa")),
    "release": (("hold", "dirty"), _release, ()),
    "npt": (("gpa", "len", "operation", "bitmap"), _npt, (*_BITMAP_RESULTS, "returns")),
    "track-dirty": (("gpa", "len"), _track_dirty, _BITMAP_RESULTS),
}
