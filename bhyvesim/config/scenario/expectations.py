"""What a scenario expects of a step, and what it can never expect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from bhyvesim import regex
from bhyvesim.config import readers as r
from bhyvesim.config.document import Mapping, Node, Scalar, Sequence
from bhyvesim.config.readers import Key
from bhyvesim.config.scenario import nodes as n
from bhyvesim.config.scenario.steps import STEPS
from bhyvesim.config.vm import read_memmap
from bhyvesim.errors import ERRNOS as ERRNO_NUMBERS
from bhyvesim.errors import BadValue
from bhyvesim.kernel.gpt.access import FAULTS
from bhyvesim.kernel.gpt.levels import LEAF_LEVEL, ROOT_LEVEL
from bhyvesim.kernel.look.fsck import KINDS
from bhyvesim.kernel.pte import FORMATS
from bhyvesim.kernel.pte.format import bit_names
from bhyvesim.kernel.revisions import REVISIONS, hanging, panics
from bhyvesim.kernel.vmrun import VM_RUN_WORDS
from bhyvesim.regex import Pattern
from bhyvesim.scenario.model import (
    CellSpec,
    ContentExpectation,
    Expectation,
    Pages,
    PanicExpectation,
    PteExpectation,
)
from bhyvesim.units import PAGE_SHIFT, shorten

T = TypeVar("T")

ERRNOS = tuple(sorted(ERRNO_NUMBERS))
STATE = ("resident", "memmap", "pte", "tables", "contents", "fsck")
ENDINGS = ("ok", "errno", "fault", "panic", "hang")

Dirty = tuple[int | None, Pages | None]  # how many pages, or which
_NO_DIRTY: Dirty = (None, None)
_ANY = "any"
# Those of an entry, in either format.
FLAGS = tuple(dict.fromkeys(name for npt in FORMATS.values() for name in bit_names(npt)))


@r.reader({"anyOf": [r.natural, {"const": _ANY}]})
def _lost(node: Node) -> int | None:
    """How many pages; ``any``: it does not matter."""
    if isinstance(node, Scalar) and node.text == _ANY:
        return None
    return r.natural(node)


@r.reader({"type": "string", "examples": hanging()})
def _hang(node: Node) -> str:
    """A function that some kernel has, known to hang or not: what is new is found by hanging."""
    word = r.text(node)
    if not any(word in revision.functions for revision in REVISIONS.values()):
        raise node.error(f"no function is {shorten(word)}", f"one such as {r.listed(hanging())}")
    return word


@r.reader({"type": "string", "format": "regex"})
def _regex(node: Node) -> Pattern:
    try:
        return regex.compile(r.text(node))
    except BadValue as error:
        raise node.error(error.problem, error.expected) from None


FUNCTION = Key("function", r.text, "Where the kernel panics.")
MESSAGE = Key("message", r.text, "The panic string, exactly.")
MATCHES = Key(
    "matches",
    _regex,
    "A regular expression that is found in it; without look-arounds, back-references, flags.",
)


def _read_panic(fields: r.Fields) -> PanicExpectation:
    if not fields.node.items:
        raise fields.node.error("nothing is said of the panic", "function, message or matches")
    return PanicExpectation(
        fields.optional(FUNCTION), fields.optional(MESSAGE), fields.optional(MATCHES)
    )


_panic_in_full = r.mapping((FUNCTION, MESSAGE, MATCHES), _read_panic, minProperties=1)


@r.reader({"anyOf": [{"type": "string"}, _panic_in_full]})
def _panic(node: Node) -> PanicExpectation:
    if not isinstance(node, Scalar):
        return _panic_in_full(node)
    word = r.text(node)
    if word in panics():
        return PanicExpectation(function=panics()[word], letter=word)
    return PanicExpectation(message=word)


DIRTY_COUNT = Key("count", r.natural, "How many pages.")
DIRTY_PAGES = Key("pages", n.pages, "Which pages of the range.")
_dirty_in_full = r.mapping(
    (DIRTY_COUNT, DIRTY_PAGES),
    lambda fields: (fields.optional(DIRTY_COUNT), fields.optional(DIRTY_PAGES)),
)


@r.reader({"anyOf": [r.natural, _dirty_in_full]})
def _dirty(node: Node) -> Dirty:
    return (r.natural(node), None) if isinstance(node, Scalar) else _dirty_in_full(node)


PTE_GPA = Key("gpa", r.any_address, "The page.", needed=True)
PTE_VALUE = Key("value", n.u64, "The whole entry; 0: none.")
PTE_FLAGS = Key("flags", r.items(r.choice(*FLAGS)), "Flags that are set.")


def _read_pte(fields: r.Fields) -> PteExpectation:
    if PTE_VALUE.name not in fields and PTE_FLAGS.name not in fields:
        raise fields.node.error("nothing is said of the entry", "value or flags")
    return PteExpectation(
        fields.value(PTE_GPA) >> PAGE_SHIFT << PAGE_SHIFT,
        fields.optional(PTE_VALUE),
        fields.optional(PTE_FLAGS) or (),
    )


_LEVEL_KEYS = tuple(
    Key(str(level), r.natural, f"Tables of level {level}.")
    for level in range(LEAF_LEVEL, ROOT_LEVEL + 1)
)


def _read_tables(fields: r.Fields) -> dict[int, int]:
    return {int(level): r.natural(value) for level, value in fields.node.items.items()}


CONTENT_SEGMENT = Key("segment", r.integer, "The segment's id.", needed=True)
CONTENT_OFFSET = Key("offset", n.number, "Where in it.", default=0)
CONTENT_SIZE = Key("size", n.integer_size, "Bytes of the integer.", default=8)
CONTENT_VALUE = Key("value", n.u64, "The integer.", needed=True)


def _read_content(fields: r.Fields) -> ContentExpectation:
    size, value = fields.value(CONTENT_SIZE), fields.value(CONTENT_VALUE)
    if value >> (8 * size):
        raise fields.node.items[CONTENT_VALUE.name].error(
            f"{value:#x} in {size} bytes can never hold", "a value that fits"
        )
    return ContentExpectation(
        fields.value(CONTENT_SEGMENT), fields.value(CONTENT_OFFSET), size, value
    )


def _one_or_more(read: r.Reader[T]) -> r.Reader[tuple[T, ...]]:
    many = r.items(read)

    def read_all(node: Node) -> tuple[T, ...]:
        return many(node) if isinstance(node, Sequence) else (read(node),)

    return r.Reader(read_all, {"anyOf": [read, many]})


def _unread(node: Node) -> Node:
    """Of a key that is read where its surroundings are known."""
    return node


WHEN = Key(
    "when",
    r.Reader(_unread, {"type": "object", "additionalProperties": True}),
    "Axis: a value, or a list of values.",
    otherwise="every cell",
)
_SUCCESS = "it succeeds"
OK = Key("ok", r.Reader(r.boolean.read, {"const": True}), "It succeeds.", otherwise=_SUCCESS)
ERRNO = Key("errno", r.choice(*ERRNOS), "What it is refused with.", otherwise=_SUCCESS)
FAULT = Key("fault", r.choice(*FAULTS), "How an access fails.", otherwise=_SUCCESS)
FAULT_GPA = Key("gpa", r.address, "The page where it fails.")
PANIC = Key(
    "panic", _panic, "A letter, the message, or more; its kernel panics.", otherwise=_SUCCESS
)
HANG = Key("hang", _hang, "The function that loops for ever.", otherwise=_SUCCESS)
PAGES = Key("pages", r.natural, "Pages that are accessed.")
MAPPED = Key("mapped", r.natural, "Entries that are newly set.")
LOST = Key(
    "lost",
    _lost,
    "Pages that lost their entries, or that a migration lost, perhaps or certainly; "
    "0 unless said; any: it does not matter.",
    otherwise="`0`",
)
SENT = Key("sent", r.natural, "Pages that a migration sent, in all rounds together.")
AGAIN = Key("again", r.natural, "Those of them that were sent before in the same attempt.")
LEAKS = Key("leaks", r.natural, "Page tables that leak.")
DIRTY = Key("dirty", _dirty, "Dirty pages.")
BITMAP = Key("bitmap", n.bitmap, "As VM_NPT_OPERATION or VM_TRACK_DIRTY_PAGES writes it.")
RETURNS = Key("returns", r.natural, "What VM_NPT_OPERATION returns.")
HOLD = Key("hold", n.positive, "The hold's id.")
VM_RUN = Key(
    "vm_run",
    r.choice(*VM_RUN_WORDS),
    "How VM_RUN comes back where a vCPU's access fails: mmio, for the instruction to be "
    "emulated; EFAULT; or an exit of the kind paging.",
)
VALUE = Key("value", n.series, "What is peeked.")
BYTE = Key("byte", n.byte, "What every byte peeked is.")
RESIDENT = Key("resident", r.natural, "The kernel's page counter, afterwards.")
MEMMAP = Key("memmap", r.items(read_memmap), "All memmaps, afterwards.")
PTE = Key(
    "pte", _one_or_more(r.mapping((PTE_GPA, PTE_VALUE, PTE_FLAGS), _read_pte)), "Leaf entries."
)
TABLES = Key("tables", r.mapping(_LEVEL_KEYS, _read_tables), "Tables by level.")
CONTENTS = Key(
    "contents",
    _one_or_more(
        r.mapping((CONTENT_SEGMENT, CONTENT_OFFSET, CONTENT_SIZE, CONTENT_VALUE), _read_content)
    ),
    "What stands in segments.",
)
FSCK = Key("fsck", r.items(r.choice(*KINDS)), "Kinds of what fsck finds afterwards, and no other.")
EXPECT_KEYS = (
    *(WHEN, OK, ERRNO, FAULT, FAULT_GPA, PANIC, HANG, PAGES, MAPPED, LOST, LEAKS, DIRTY),
    *(SENT, AGAIN),
    *(BITMAP, RETURNS, HOLD, VM_RUN, VALUE, BYTE, RESIDENT, MEMMAP, PTE, TABLES, CONTENTS),
    FSCK,
)
_WORDS: r.Schema = {"enum": ["ok", *ERRNOS, *FAULTS]}
_IN_FULL: r.Schema = {"keys": EXPECT_KEYS}
# What `expect` of any step may be; which keys fit which step, the reader says.
EXPECT = r.Reader(
    _unread,
    {
        "anyOf": [
            _WORDS,
            _IN_FULL,
            {"type": "array", "minItems": 1, "items": {"anyOf": [_WORDS, _IN_FULL]}},
        ]
    },
    "expect",
)


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
    known = ("when", "ok", "errno", "panic", "hang", *results, *STATE)
    if isinstance(node, Mapping):
        for key in node.items:
            every_result = {name for kind in STEPS.values() for name in kind.results}
            if key in every_result and key not in known:
                raise node.keys[key].error(
                    f"{key} of {step} can never hold", f"one of {r.listed(known)}"
                )
    fields = r.Fields(node, known)
    ending = [key for key in ENDINGS if key in fields]
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
    count, pages = fields.optional(DIRTY) or _NO_DIRTY
    return Expectation(
        when=_when(fields.node.items[WHEN.name], cells) if WHEN.name in fields else {},
        errno=fields.optional(ERRNO),
        fault=fields.optional(FAULT),
        gpa=_fault_gpa(fields),
        panic=fields.optional(PANIC),
        pages=fields.optional(PAGES),
        mapped=fields.optional(MAPPED),
        hang=fields.optional(HANG),
        lost=fields.optional(LOST) if LOST.name in fields else 0,
        sent=fields.optional(SENT),
        again=fields.optional(AGAIN),
        leaks=fields.optional(LEAKS),
        bitmap=fields.optional(BITMAP),
        returns=fields.optional(RETURNS),
        hold=fields.optional(HOLD),
        vm_run=fields.optional(VM_RUN),
        dirty_count=count,
        dirty_pages=pages,
        value=fields.optional(VALUE),
        byte=fields.optional(BYTE),
        resident=fields.optional(RESIDENT),
        memmap=fields.optional(MEMMAP),
        pte=fields.optional(PTE) or (),
        tables=fields.get(TABLES.name, TABLES.read, dict[int, int]()),
        contents=fields.optional(CONTENTS) or (),
        fsck=fields.optional(FSCK),
    )


def _short_expectation(node: Scalar, results: tuple[str, ...]) -> Expectation:
    faults = FAULTS if "fault" in results else ()
    word = r.choice("ok", *ERRNOS, *faults)(node)
    if word == "ok":
        return Expectation()
    return Expectation(errno=word) if word in ERRNOS else Expectation(fault=word)


def _fault_gpa(fields: r.Fields) -> int | None:
    if FAULT_GPA.name in fields and FAULT.name not in fields:
        place = fields.node.items[FAULT_GPA.name]
        raise place.error("gpa without a fault can never hold", "fault beside it")
    return fields.optional(FAULT_GPA)


def _when(node: Node, cells: tuple[CellSpec, ...]) -> dict[str, frozenset[str]]:
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
        when[axis] = frozenset(map(n.word_of, items))
    return when
