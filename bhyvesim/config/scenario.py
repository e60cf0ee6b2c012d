"""Scenario files: steps and expectations read strictly, the matrix multiplied out."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from bhyvesim.config import readers as r
from bhyvesim.config.document import ConfigError, Mapping, Node, Scalar, Sequence, parse
from bhyvesim.config.vm import KEYS as VM_KEYS
from bhyvesim.config.vm import read_vm
from bhyvesim.errors import BadValue
from bhyvesim.gpt.revisions import REVISIONS
from bhyvesim.prot import ALL
from bhyvesim.scenario import steps as do
from bhyvesim.scenario.model import (
    Action,
    CellSpec,
    ContentExpectation,
    Expectation,
    PanicExpectation,
    Place,
    PteExpectation,
    Scenario,
    Series,
    Step,
)
from bhyvesim.units import PAGE_SHIFT, U64_END, parse_size, shorten
from bhyvesim.vmm.spec import MappingSpec, SegmentSpec, TouchSpec

ERRNOS = ("EEXIST", "EFAULT", "EINVAL", "ENOENT", "ENOMEM", "ENOSPC", "EOVERFLOW")
FAULTS = ("FC_NOMAP", "FC_PROT")
KERNEL_AXES = ("gpt", "debug", "assertions")
AXES = (*KERNEL_AXES, *(key for key in VM_KEYS if key not in ("name", "kernel")))
MAX_CELLS = 100_000
MAX_CONTENT = 256 << 20

ReadFile = Callable[[str], bytes]


class Sources:
    """Reads the files that a scenario names, and knows which are being read."""

    def __init__(self, read_file: ReadFile) -> None:
        self._read_file = read_file
        self._open: list[str] = []

    def load(self, path: str) -> Scenario:
        """The scenario in *path*. Raises ConfigError, and what the file reader raises."""
        fields = self._fields(path)
        vm = self._vm_node(fields.need("vm", lambda node: node), path)
        axes = fields.get("matrix", _matrix, dict[str, tuple[Node, ...]]())
        cells = tuple(_cells(vm, axes))
        title = fields.need("title", r.text)
        return Scenario(title, path, cells, self._steps(fields, path, cells, axes))

    def _fields(self, path: str) -> r.Fields:
        return r.Fields(parse(self._read_file(path), path), ("title", "vm", "matrix", "steps"))

    def _vm_node(self, node: Node, path: str) -> Mapping:
        if isinstance(node, Scalar):
            other = os.path.join(os.path.dirname(path), r.text(node))
            try:
                node = parse(self._read_file(other), other)
            except ConfigError:
                raise
            except Exception as error:
                raise node.error(str(error), "a VM description") from None
        if not isinstance(node, Mapping):
            raise node.error(r.describe(node), "a VM description, or the path of one")
        return node

    def _steps(
        self,
        fields: r.Fields,
        path: str,
        cells: tuple[CellSpec, ...],
        axes: dict[str, tuple[Node, ...]],
    ) -> tuple[Step, ...]:
        nodes = fields.need("steps", r.items(lambda node: node))
        if not nodes:
            raise fields.node.items["steps"].error("no steps", "at least one")
        real = os.path.realpath(path)
        self._open.append(real)
        steps: list[Step] = []
        for node in nodes:
            included = _include(node)
            if included is None:
                steps.append(_step(node, axes, cells))
                continue
            other = os.path.join(os.path.dirname(path), r.text(included))
            if os.path.realpath(other) in self._open:
                raise included.error(f"{shorten(other)} includes itself", "another file")
            try:
                inner = self._fields(other)
            except ConfigError:
                raise
            except Exception as error:
                raise included.error(str(error), "a scenario") from None
            steps += self._steps(inner, other, cells, axes)
        self._open.pop()
        return tuple(steps)


def _include(node: Node) -> Node | None:
    if isinstance(node, Mapping) and "include" in node.items:
        return r.Fields(node, ("include",)).need("include", lambda value: value)
    return None


# The matrix.


def _matrix(node: Node) -> dict[str, tuple[Node, ...]]:
    fields = r.Fields(node, AXES)
    axes = {}
    for axis in fields.node.items:
        value = fields.node.items[axis]
        if axis == "gpt" and isinstance(value, Scalar) and value.text == "all":
            values: tuple[Node, ...] = tuple(replace(value, text=name) for name in REVISIONS)
        else:
            values = r.items(lambda item: item)(value)
        if not values:
            raise value.error("an empty list", "at least one value")
        words = [_word(item) for item in values]
        for item, word in zip(values, words, strict=True):
            if words.count(word) > 1:
                raise item.error(f"{shorten(word)} stands twice", "each value once")
        axes[axis] = values
    if not axes:
        raise node.error("an empty matrix", f"one or more of {r.listed(AXES)}")
    return axes


def _word(node: Node) -> str:
    """How an axis value is shown and matched."""
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Sequence):
        return "[" + " ".join(map(_word, node.items)) + "]"
    assert isinstance(node, Mapping)
    return "{" + " ".join(f"{key}:{_word(value)}" for key, value in node.items.items()) + "}"


def _cells(vm: Mapping, axes: dict[str, tuple[Node, ...]]) -> Iterator[CellSpec]:
    count = 1
    for values in axes.values():
        count *= len(values)
    if count > MAX_CELLS:
        raise vm.error(f"a matrix of {count} cells", f"at most {MAX_CELLS}")
    for combination in itertools.product(*axes.values()):
        chosen = dict(zip(axes, combination, strict=True))
        spec = read_vm(_with_axes(vm, chosen))
        words = {axis: _word(node) for axis, node in chosen.items()}
        if "gpt" not in words:
            words = {"gpt": spec.kernel.gpt, **words}
        if "debug" not in words:
            words["debug"] = "true" if spec.kernel.debug else "false"
        yield CellSpec(words, spec)


def _with_axes(vm: Mapping, chosen: dict[str, Node]) -> Mapping:
    """*vm* with the chosen values in place of its own."""
    items = dict(vm.items)
    keys = dict(vm.keys)
    kernel = {axis: node for axis, node in chosen.items() if axis in KERNEL_AXES}
    if kernel:
        old = items.get("kernel")
        base = old if isinstance(old, Mapping) else Mapping(*_place(vm), "kernel", {}, {})
        inner_keys = {**base.keys, **{k: _key(k, node) for k, node in kernel.items()}}
        items["kernel"] = replace(base, items={**base.items, **kernel}, keys=inner_keys)
        keys.setdefault("kernel", _key("kernel", vm))
    for axis, node in chosen.items():
        if axis not in KERNEL_AXES:
            items[axis] = node
            keys[axis] = _key(axis, node)
    return replace(vm, items=items, keys=keys)


def _key(name: str, node: Node) -> Scalar:
    return Scalar(*_place(node), name, name, True)


def _place(node: Node) -> tuple[str, int, int]:
    return node.source, node.line, node.column


# Steps.


def _number(node: Node) -> int:
    """A size or address as the kernel may be asked for it: aligned or not, negative or not."""
    word = r.scalar(node, "a number such as 0x1000 or 2M")
    try:
        return -parse_size(word[1:]) if word.startswith("-") else parse_size(word)
    except BadValue as error:
        raise node.error(error.problem, error.expected) from None


def _create(fields: r.Fields) -> Action:
    return do.Create()


def _alloc(fields: r.Fields) -> Action:
    name = fields.get("name", r.text, "")
    pfn = fields.get("host_pfn", r.natural, None)
    segment = SegmentSpec(
        fields.need("id", r.integer),
        "" if name == "sysmem" else name,
        fields.need("size", _number),
        pfn,
    )
    return do.AllocMemseg(segment)


def _map(fields: r.Fields) -> Action:
    return do.Map(
        MappingSpec(
            fields.need("gpa", _number),
            fields.need("segment", r.integer),
            fields.get("offset", _number, 0),
            fields.need("len", _number),
            fields.get("prot", _raw_prot, ALL),
            fields.get("wired", r.boolean, False),
        )
    )


def _raw_prot(node: Node) -> int:
    """A protection, or the bare mask, which may be one that the kernel refuses."""
    word = r.scalar(node, "a protection such as r-x")
    return r.integer(node) if word.lstrip("-").isdigit() else r.prot(node)


def _unmap(fields: r.Fields) -> Action:
    return do.Unmap(fields.need("gpa", _number), fields.need("len", _number))


def _touch(fields: r.Fields) -> Action:
    touch = TouchSpec(
        fields.need("gpa", _number), fields.need("len", r.length), fields.need("access", r.prot)
    )
    every = fields.get("every", _positive, None)
    return do.Touch(touch) if every is None else do.TouchEvery(touch, every)


def _positive(node: Node) -> int:
    number = r.integer(node)
    if number <= 0:
        raise node.error(f"{number} is not positive", "an integer from 1 on")
    return number


def _where(fields: r.Fields) -> do.Where:
    if "gpa" in fields:
        for key in ("segment", "offset"):
            if key in fields:
                raise fields.place(key).error(f"{key} together with gpa", "one of the two")
        return do.Where(gpa=fields.need("gpa", _number))
    if "segment" not in fields:
        raise fields.node.error("no place", "gpa (through the guest), or segment and offset")
    return do.Where(
        segid=fields.need("segment", r.integer), offset=fields.get("offset", _number, 0)
    )


def _content_length(node: Node) -> int:
    length = r.length(node)
    if length > MAX_CONTENT:
        raise node.error(f"{length} bytes", f"at most {MAX_CONTENT}")
    return length


def _byte(node: Node) -> int:
    value = r.natural(node)
    if value > 255:
        raise node.error(f"{value:#x} is no byte", "0 to 0xff")
    return value


def _fill(fields: r.Fields) -> Action:
    length = fields.need("len", _content_length)
    return do.Fill(_where(fields), length, fields.need("byte", _byte))


def _integers(fields: r.Fields) -> tuple[int, int, int]:
    """(size, count, stride) of the integers that a poke or peek is about."""
    size = fields.get("size", _positive, 8)
    if size > 8:
        raise fields.node.items["size"].error(f"{size} bytes", "1 to 8")
    count = fields.get("count", _positive, 1)
    stride = fields.get("stride", r.length, size)
    if count * stride > MAX_CONTENT:
        raise fields.node.error(f"{count} values, {stride} bytes apart", f"{MAX_CONTENT} at most")
    return size, count, stride


def _poke(fields: r.Fields) -> Action:
    value = fields.need("value", _series)
    return do.Poke(_where(fields), *_integers(fields), value)


def _peek(fields: r.Fields) -> Action:
    if "len" in fields:
        return do.PeekBytes(_where(fields), fields.need("len", _content_length))
    return do.Peek(_where(fields), *_integers(fields))


def _series(node: Node) -> Series:
    if isinstance(node, Scalar):
        return Series(_u64(node))
    fields = r.Fields(node, ("from", "step"))
    return Series(fields.get("from", _u64, 0), fields.get("step", r.integer, 1))


def _u64(node: Node) -> int:
    number = r.natural(node)
    if number >= U64_END:
        raise node.error(f"{number:#x} is too large", "a number below 2^64")
    return number


def _dirty(fields: r.Fields) -> Action:
    operation = fields.get("op", r.choice("read", "get", "set", "reset"), "read")
    return do.Dirty(
        fields.need("gpa", _number),
        fields.need("len", _number),
        operation,
        fields.get("pages", _pages, None),
    )


_PAGES = re.compile(r"(?P<first>\d+)(-(?P<last>\d+)(/(?P<every>\d+))?)?", re.ASCII)


def _pages(node: Node) -> int:
    """A bitmap from ``0``, ``0-16``, ``0-255/8`` or several of these, with commas."""
    if isinstance(node, Scalar) and not node.text.strip():
        return 0
    bitmap = 0
    for part in r.scalar(node, "pages such as 0, 0-16 or 0-255/8").split(","):
        match = _PAGES.fullmatch(part.strip())
        if match is None or len(part) > 60:
            raise node.error(f"{shorten(part)} are no pages", "pages such as 0, 0-16 or 0-255/8")
        first = int(match["first"])
        last = int(match["last"] or first)
        every = int(match["every"] or 1)
        if last < first or last > 1 << 24 or every < 1:
            raise node.error(f"{shorten(part)} are no pages", "first-last/every, below 2^24")
        for page in range(first, last + 1, every):
            bitmap |= 1 << page
    return bitmap


_ACCESS_RESULTS = ("pages", "mapped", "fault", "gpa")
_WHERE = ("gpa", "segment", "offset")

# name: (its keys, how to read them, what expect may say of it beyond errno, panic and state)
STEPS: dict[str, tuple[tuple[str, ...], Callable[[r.Fields], Action], tuple[str, ...]]] = {
    "create": ((), _create, _ACCESS_RESULTS),
    "alloc-memseg": (("id", "size", "name", "host_pfn"), _alloc, ()),
    "map": (("gpa", "segment", "offset", "len", "prot", "wired"), _map, ("mapped",)),
    "unmap": (("gpa", "len"), _unmap, ("lost",)),
    "touch": (("gpa", "len", "access", "every"), _touch, _ACCESS_RESULTS),
    "fill": ((*_WHERE, "len", "byte"), _fill, _ACCESS_RESULTS),
    "poke": ((*_WHERE, "size", "count", "stride", "value"), _poke, _ACCESS_RESULTS),
    "peek": (
        (*_WHERE, "size", "count", "stride", "len"),
        _peek,
        (*_ACCESS_RESULTS, "value", "byte"),
    ),
    "reboot": ((), lambda fields: do.Reboot(), (*_ACCESS_RESULTS, "lost")),
    "destroy": ((), lambda fields: do.Destroy(), ("leaks",)),
    "dirty": (("gpa", "len", "op", "pages"), _dirty, ("dirty",)),
}


def _step(node: Node, axes: dict[str, tuple[Node, ...]], cells: tuple[CellSpec, ...]) -> Step:
    expect: Node | None = None
    if isinstance(node, Scalar):
        name = r.choice(*STEPS)(node)
        arguments: Node = Mapping(*_place(node), node.path, {}, {})
        place = node
    else:
        fields = r.Fields(node, (*STEPS, "include", "expect"))
        names = [key for key in fields.node.items if key != "expect"]
        if len(names) != 1:
            raise node.error(f"{len(names)} steps in one", "one step, and perhaps its expect")
        name = names[0]
        arguments = fields.node.items[name]
        if isinstance(arguments, Scalar) and arguments.is_null:
            arguments = Mapping(*_place(arguments), arguments.path, {}, {})
        expect = fields.node.items.get("expect")
        place = fields.node.keys[name]
    keys, read, results = STEPS[name]
    action = read(r.Fields(arguments, keys))
    expectations = () if expect is None else tuple(_expectations(expect, name, results, cells))
    label = name + _shown(arguments)
    return Step(name, label, Place(*_place(place)), action, expectations)


def _shown(arguments: Node) -> str:
    """A step's arguments, for messages: `` gpa=0 len=1M``."""
    assert isinstance(arguments, Mapping)
    return "".join(f" {key}={_word(value)}" for key, value in arguments.items.items())


# Expectations.

_NO_DIRTY: tuple[int | None, int | None] = (None, None)
_STATE = ("resident", "memmap", "pte", "tables", "contents")


def _expectations(
    node: Node, step: str, results: tuple[str, ...], cells: tuple[CellSpec, ...]
) -> Iterator[Expectation]:
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
    endings = ("ok", "errno", "fault", "panic")
    known = ("when", "ok", "errno", "panic", *results, *_STATE)
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
    if "panic" in fields:
        for key in (*results, *_STATE):
            if key in fields and key in ("lost", "leaks", "pages", "mapped", "value", "byte"):
                raise fields.place(key).error(
                    f"{key} after a panic can never hold", "the state, or nothing"
                )
    dirty = fields.get("dirty", _dirty_expectation, _NO_DIRTY)
    return Expectation(
        when=fields.get("when", lambda n: _when(n, cells), dict[str, tuple[str, ...]]()),
        errno=fields.get("errno", r.choice(*ERRNOS), None),
        fault=fields.get("fault", r.choice(*FAULTS), None),
        gpa=fields.get("gpa", _fault_gpa(fields), None),
        panic=fields.get("panic", _panic, None),
        pages=fields.get("pages", r.natural, None),
        mapped=fields.get("mapped", r.natural, None),
        lost=fields.get("lost", r.natural, None),
        leaks=fields.get("leaks", r.natural, None),
        dirty_count=dirty[0],
        dirty_pages=dirty[1],
        value=fields.get("value", _series, None),
        byte=fields.get("byte", _byte, None),
        resident=fields.get("resident", r.natural, None),
        memmap=fields.get("memmap", r.items(_memmap_row), None),
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
            if _word(item) not in there:
                raise item.error(
                    f"{axis} is never {shorten(_word(item))}", f"one of {r.listed(sorted(there))}"
                )
        when[axis] = tuple(map(_word, items))
    return when


def _panic(node: Node) -> PanicExpectation:
    if isinstance(node, Scalar):
        word = r.text(node)
        if word in _PANICS:
            return PanicExpectation(function=_PANICS[word])
        return PanicExpectation(message=word)
    fields = r.Fields(node, ("function", "message", "matches"))
    if not fields.node.items:
        raise node.error("nothing is said of the panic", "function, message or matches")
    return PanicExpectation(
        fields.get("function", r.text, None),
        fields.get("message", r.text, None),
        fields.get("matches", _regex, None),
    )


_PANICS = {
    "A": "vmm_gpt_vacate_entry",
    "B": "vmspace_lookup_map",
    "C": "vmm_gpt_populate_region",
    "D": "vmm_gpt_node_add",
}


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
    return fields.get("count", r.natural, None), fields.get("pages", _pages, None)


def _memmap_row(node: Node) -> tuple[int, int, int, int, int, bool]:
    fields = r.Fields(node, ("gpa", "len", "segment", "offset", "prot", "wired"))
    return (
        fields.need("gpa", r.address),
        fields.need("len", r.size),
        fields.need("segment", r.integer),
        fields.get("offset", r.byte_count, 0),
        fields.get("prot", r.prot, ALL),
        fields.get("wired", r.boolean, False),
    )


def _pte(node: Node) -> PteExpectation:
    fields = r.Fields(node, ("gpa", "value", "flags"))
    if "value" not in fields and "flags" not in fields:
        raise node.error("nothing is said of the entry", "value or flags")
    flags = r.choice("present", "writable", "user", "noexec", "read", "write", "execute", "wb")
    known = fields.get("flags", r.items(_any_flag(flags)), tuple[str, ...]())
    return PteExpectation(
        fields.need("gpa", r.any_address) >> PAGE_SHIFT << PAGE_SHIFT,
        fields.get("value", _u64, None),
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
    size = fields.get("size", _positive, 8)
    if size > 8:
        raise fields.node.items["size"].error(f"{size} bytes", "1 to 8")
    value = fields.need("value", _u64)
    if value >> (8 * size):
        raise fields.node.items["value"].error(
            f"{value:#x} in {size} bytes can never hold", "a value that fits"
        )
    return ContentExpectation(
        fields.need("segment", r.integer), fields.get("offset", _number, 0), size, value
    )


def _one_or_more(read: Callable[[Node], Any]) -> Callable[[Node], tuple[Any, ...]]:
    def read_all(node: Node) -> tuple[Any, ...]:
        return r.items(read)(node) if isinstance(node, Sequence) else (read(node),)

    return read_all
