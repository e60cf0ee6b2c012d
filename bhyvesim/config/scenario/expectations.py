"""What a scenario expects of a step, and what it can never expect."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from bhyvesim.config import readers as r
from bhyvesim.config.document import Mapping, Node, Scalar, Sequence
from bhyvesim.config.scenario import nodes as n
from bhyvesim.config.scenario.steps import STEPS
from bhyvesim.config.vm import read_memmap
from bhyvesim.kernel.gpt.access import FAULTS
from bhyvesim.kernel.revisions import hanging, panics
from bhyvesim.scenario.model import (
    CellSpec,
    ContentExpectation,
    Expectation,
    PanicExpectation,
    PteExpectation,
)
from bhyvesim.units import PAGE_SHIFT, shorten

ERRNOS = (
    "E2BIG",
    "EEXIST",
    "EFAULT",
    "EINVAL",
    "ENOENT",
    "ENOMEM",
    "ENOSPC",
    "ENOTTY",
    "EOVERFLOW",
    "EPERM",
)

_NO_DIRTY: tuple[int | None, int | None] = (None, None)
STATE = ("resident", "memmap", "pte", "tables", "contents")


def read_expectations(
    node: Node, step: str, results: tuple[str, ...], cells: tuple[CellSpec, ...]
) -> Iterator[Expectation]:
    """The expectations of one step, in order; each must be left a cell to hold in."""
    nodes = node.items if isinstance(node, Sequence) else (node,)
    if not nodes:
        raise node.error("no expectation", "at least one")
    open_cells = list(cells)
    for item in nodes:
        expectation = _expectation(item, step, results, cells)
        left = [cell for cell in open_cells if not expectation.applies(cell.axes)]
        if len(left) == len(open_cells):
            raise item.error("this expectation can never hold", "a `when` that leaves it a cell")
        open_cells = left
        yield expectation


def _expectation(
    node: Node, step: str, results: tuple[str, ...], cells: tuple[CellSpec, ...]
) -> Expectation:
    if isinstance(node, Scalar):
        return _short_expectation(node, results)
    endings = ("ok", "errno", "fault", "panic", "hang")
    known = ("when", "ok", "errno", "panic", "hang", *results, *STATE)
    if isinstance(node, Mapping):
        for key in node.items:
            every_result = {name for _, _, names in STEPS.values() for name in names}
            if key in every_result and key not in known:
                raise node.keys[key].error(
                    f"{key} of {step} can never hold", f"one of {r.listed(known)}"
                )
    fields = r.Fields(node, known)
    ending = [key for key in endings if key in fields]
    if len(ending) > 1:
        raise fields.place(ending[1]).error(
            f"{ending[0]} and {ending[1]} can never hold together", "one of them"
        )
    if "ok" in fields and not fields.need("ok", r.boolean):
        raise fields.place("ok").error("ok: false", "an errno, a fault or a panic")
    for stop in ("panic", "hang"):
        for key in results if stop in fields else ():
            if key in fields:
                raise fields.place(key).error(
                    f"{key} after a {stop} can never hold", "the state, or nothing"
                )
    dirty = fields.get("dirty", _dirty_expectation, _NO_DIRTY)
    return Expectation(
        when=fields.get("when", lambda value: _when(value, cells), dict[str, tuple[str, ...]]()),
        errno=fields.get("errno", r.choice(*ERRNOS), None),
        fault=fields.get("fault", r.choice(*FAULTS), None),
        gpa=fields.get("gpa", _fault_gpa(fields), None),
        panic=fields.get("panic", _panic, None),
        pages=fields.get("pages", r.natural, None),
        mapped=fields.get("mapped", r.natural, None),
        hang=fields.get("hang", r.choice(*hanging()), None),
        lost=fields.need("lost", _lost) if "lost" in fields else 0,
        leaks=fields.get("leaks", r.natural, None),
        bitmap=fields.get("bitmap", n.bitmap, None),
        returns=fields.get("returns", r.natural, None),
        hold=fields.get("hold", n.positive, None),
        dirty_count=dirty[0],
        dirty_pages=dirty[1],
        value=fields.get("value", n.series, None),
        byte=fields.get("byte", n.byte, None),
        resident=fields.get("resident", r.natural, None),
        memmap=fields.get("memmap", r.items(read_memmap), None),
        pte=fields.get("pte", _one_or_more(_pte), ()),
        tables=fields.get("tables", _tables, dict[int, int]()),
        contents=fields.get("contents", _one_or_more(_content), ()),
    )


def _short_expectation(node: Scalar, results: tuple[str, ...]) -> Expectation:
    faults = FAULTS if "fault" in results else ()
    word = r.choice("ok", *ERRNOS, *faults)(node)
    if word == "ok":
        return Expectation()
    return Expectation(errno=word) if word in ERRNOS else Expectation(fault=word)


def _lost(node: Node) -> int | None:
    """How many pages; ``any``: it does not matter."""
    if isinstance(node, Scalar) and node.text == "any":
        return None
    return r.natural(node)


def _fault_gpa(fields: r.Fields) -> Callable[[Node], int]:
    def read(node: Node) -> int:
        if "fault" not in fields:
            raise node.error("gpa without a fault can never hold", "fault beside it")
        return r.address(node)

    return read


def _when(node: Node, cells: tuple[CellSpec, ...]) -> dict[str, tuple[str, ...]]:
    axes = list(cells[0].axes)
    fields = r.Fields(node, axes)
    when = {}
    for axis, value in fields.node.items.items():
        there = {cell.axes[axis] for cell in cells}
        items = value.items if isinstance(value, Sequence) else (value,)
        for item in items:
            if n.word_of(item) not in there:
                raise item.error(
                    f"{axis} is never {shorten(n.word_of(item))}",
                    f"one of {r.listed(sorted(there))}",
                )
        when[axis] = tuple(map(n.word_of, items))
    return when


def _panic(node: Node) -> PanicExpectation:
    if isinstance(node, Scalar):
        word = r.text(node)
        if word in panics():
            return PanicExpectation(function=panics()[word], letter=word)
        return PanicExpectation(message=word)
    fields = r.Fields(node, ("function", "message", "matches"))
    if not fields.node.items:
        raise node.error("nothing is said of the panic", "function, message or matches")
    return PanicExpectation(
        fields.get("function", r.text, None),
        fields.get("message", r.text, None),
        fields.get("matches", _regex, None),
    )


def _regex(node: Node) -> re.Pattern[str]:
    pattern = r.text(node)
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise node.error(f"{shorten(pattern)}: {error}", "a regular expression") from None


def _dirty_expectation(node: Node) -> tuple[int | None, int | None]:
    if isinstance(node, Scalar):
        return r.natural(node), None
    fields = r.Fields(node, ("count", "pages"))
    return fields.get("count", r.natural, None), fields.get("pages", n.pages, None)


def _pte(node: Node) -> PteExpectation:
    fields = r.Fields(node, ("gpa", "value", "flags"))
    if "value" not in fields and "flags" not in fields:
        raise node.error("nothing is said of the entry", "value or flags")
    flags = r.choice("present", "writable", "user", "noexec", "read", "write", "execute", "wb")
    known = fields.get("flags", r.items(_any_flag(flags)), tuple[str, ...]())
    return PteExpectation(
        fields.need("gpa", r.any_address) >> PAGE_SHIFT << PAGE_SHIFT,
        fields.get("value", n.u64, None),
        known,
    )


def _any_flag(flags: Callable[[Node], str]) -> Callable[[Node], str]:
    def read(node: Node) -> str:
        word = r.scalar(node, "the name of a flag")
        return word if word in ("accessed", "dirty") else flags(node)

    return read


def _tables(node: Node) -> dict[int, int]:
    fields = r.Fields(node, ("1", "2", "3", "4"))
    return {int(level): r.natural(value) for level, value in fields.node.items.items()}


def _content(node: Node) -> ContentExpectation:
    fields = r.Fields(node, ("segment", "offset", "size", "value"))
    size = fields.get("size", n.integer_size, 8)
    value = fields.need("value", n.u64)
    if value >> (8 * size):
        raise fields.node.items["value"].error(
            f"{value:#x} in {size} bytes can never hold", "a value that fits"
        )
    return ContentExpectation(
        fields.need("segment", r.integer), fields.get("offset", n.number, 0), size, value
    )


def _one_or_more(read: Callable[[Node], Any]) -> Callable[[Node], tuple[Any, ...]]:
    def read_all(node: Node) -> tuple[Any, ...]:
        return r.items(read)(node) if isinstance(node, Sequence) else (read(node),)

    return read_all
