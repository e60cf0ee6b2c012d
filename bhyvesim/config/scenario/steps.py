"""The steps of a scenario: their keys, and the operations that they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bhyvesim import limits
from bhyvesim.config import readers as r
from bhyvesim.config.document import Node
from bhyvesim.config.readers import Key
from bhyvesim.config.scenario import nodes as n
from bhyvesim.config.vm import FREE, GPT
from bhyvesim.errors import BadValue
from bhyvesim.kernel.npt import DIRTY_WORDS, FLAGS, OPERATIONS, parse_operation
from bhyvesim.ops import ioctls as ops
from bhyvesim.ops.contents import Fill, Read
from bhyvesim.prot import ALL
from bhyvesim.scenario import steps as do
from bhyvesim.scenario.model import Action
from bhyvesim.vm.life import touching
from bhyvesim.vm.migration.plan import (
    DEVICE_WRITES,
    DISCIPLINES,
    MAX_HOPS,
    MAX_ROUNDS,
    MAX_WRITES,
    PAUSED,
    Plan,
    parse_fail_after,
)
from bhyvesim.vm.spec import TouchSpec


@r.reader(r.length.schema, r.length.name)
def _content_length(node: Node) -> int:
    length = r.length(node)
    n.within(node, limits.WRITTEN, length)
    return length


@r.reader(r.length.schema, r.length.name)
def _read_length(node: Node) -> int:
    length = r.length(node)
    n.within(node, limits.READ, length)
    return length


@r.reader({"anyOf": [r.prot, r.integer]})
def _raw_prot(node: Node) -> int:
    """A protection, or the bare mask, which may be one that the kernel refuses."""
    word = r.scalar(node, "a protection such as r-x")
    return r.integer(node) if word.lstrip("-").isdigit() else r.prot(node)


_NAMED = "|".join((*OPERATIONS, *FLAGS))


@r.reader(
    {
        "description": "VM_NPT_OPERATION's raw number, or names or'ed.",
        "anyOf": [
            r.natural,
            {"type": "string", "pattern": rf"^({_NAMED})( *\| *({_NAMED}))*$"},
        ],
    }
)
def _operation(node: Node) -> int:
    word = r.scalar(node, "a number, or names such as GET_DIRTY|BITMAP_OUT")
    try:
        return parse_operation(word, lambda _: r.natural(node))  # no size: 1K is no operation
    except BadValue as error:
        raise node.error(error.problem, error.expected) from None


GPA = Key("gpa", n.number, "Where in the guest.", needed=True, example="0xffe00000")
LEN = Key("len", n.number, "How many bytes.", needed=True, example="2M")
ID = Key("id", r.integer, "The segment's id.", needed=True, example="0")
SIZE = Key("size", n.number, "How many bytes.", needed=True, example="3G")
NAME = Key("name", r.text, "Empty or sysmem: RAM. Otherwise device memory.", default="")
HOST_PFN = Key("host_pfn", r.natural, "Its first host page frame.", otherwise=FREE)
SEGMENT = Key("segment", r.integer, "The segment's id.", needed=True, example="1")
OFFSET = Key("offset", n.number, "Where in the segment.", default=0)
PROT = Key("prot", _raw_prot, "What is granted.", default=ALL, example="r-x")
WIRED = Key("wired", r.boolean, "Put all pages in the tables at once.", default=False)
TOUCH_LEN = Key("len", r.length, "How many bytes.", needed=True, example="2M")
EVERY = Key("every", n.positive, "Every so many pages only, each for itself.", otherwise="all")
_ONE_OF = "*needed*, one of the two"
AT_GPA = Key("gpa", n.number, "Through the guest, at this address.", otherwise=_ONE_OF)
AT_SEGMENT = Key(
    "segment", r.integer, "Or through a segment, as the VMM sees it.", otherwise=_ONE_OF
)
WHERE = (AT_GPA, AT_SEGMENT, OFFSET)
FILL_LEN = Key("len", _content_length, "How many bytes.", needed=True, example="4K")
PEEK_LEN = Key("len", _read_length, "How many bytes, in place of integers.")
BYTE = Key("byte", n.byte, "Their value.", needed=True, example="0xa5")
INTEGER_SIZE = Key("size", n.integer_size, "Bytes of an integer.", default=8)
COUNT = Key("count", n.positive, "How many.", default=1)
STRIDE = Key(
    "stride", r.length, "Bytes from one to the next; their size if left out.", otherwise="`size`"
)
VALUE = Key("value", n.series, "What is written.", needed=True, example="{from: 0, step: 1}")
DIRTY_OP = Key("op", r.choice("read", *DIRTY_WORDS), "read clears as well.", default="read")
PAGES = Key(
    "pages", n.pages, "Which of the range; all if left out.", otherwise="all", example="0-16"
)
HOLD = Key("hold", r.natural, "The hold's id.", needed=True, example="1")
WRITTEN = Key("dirty", r.boolean, "Whether its holder wrote.", default=True)
OPERATION = Key("operation", _operation, "Which.", needed=True, example="GET_DIRTY|BITMAP_OUT")
BITMAP = Key("bitmap", n.bitmap, "With BITMAP_IN: hex, the first byte first.")


def _within(least: int, most: int) -> r.Reader[int]:
    """An integer from *least* to *most*."""

    def read(node: Node) -> int:
        number = r.integer(node)
        if not least <= number <= most:
            raise node.error(f"{number}", f"{least} to {most}")
        return number

    return r.Reader(read, {"type": "integer", "minimum": least, "maximum": most})


@r.reader({"anyOf": [{"type": "integer", "minimum": 1, "maximum": MAX_ROUNDS}, {"const": PAUSED}]})
def _round(node: Node) -> str:
    """A round by its number, or ``paused``; how many there are is known later."""
    return r.scalar(node, f"a round such as 1, or {PAUSED}")


DISCIPLINE = Key(
    "discipline",
    r.choice(*DISCIPLINES),
    "Which pages are offered, and what becomes of their dirty bits.",
    default=Plan.discipline,
)
ROUNDS = Key("rounds", _within(1, MAX_ROUNDS), "Rounds before the pause.", default=Plan.rounds)
WRITES = Key("writes", _within(0, MAX_WRITES), "Writes in the guest, a round.", default=Plan.writes)
DEVICES = Key("devices", _within(0, 100), "How many of 100 are by devices.", default=Plan.devices)
DEVICES_WRITE = Key(
    "device_writes",
    r.choice(*DEVICE_WRITES),
    "How devices write.",
    default=Plan.device_writes,
)
FAIL_AFTER = Key(
    "fail_after", _round, "The round after which the first attempt fails.", example=PAUSED
)
HOPS = Key("hops", _within(1, MAX_HOPS), "How often the guest moves on.", default=Plan.hops)
SEED = Key("seed", r.integer, "For the writes.", default=Plan.seed)
TO_GPT = Key("gpt", GPT.read, "The target's kernel; the source's if left out.")

_ONE_PLACE: r.Schema = {"oneOf": [{"required": ["gpa"]}, {"required": ["segment"]}]}
_NO_PAGES_OF_A_READ: r.Schema = {
    "if": {"required": ["pages"]},
    "then": {"required": ["op"], "properties": {"op": {"enum": list(DIRTY_WORDS)}}},
}


def _alloc(fields: r.Fields) -> Action:
    name = fields.value(NAME)
    return do.Do(
        ops.AllocMemseg(
            fields.value(ID),
            fields.value(SIZE),
            "" if name == "sysmem" else name,
            fields.optional(HOST_PFN),
        )
    )


def _map(fields: r.Fields) -> Action:
    return do.Map(
        ops.MmapMemseg(
            gpa=fields.value(GPA),
            segid=fields.value(SEGMENT),
            segoff=fields.value(OFFSET),
            length=fields.value(LEN),
            prot=fields.value(PROT),
            wired=fields.value(WIRED),
        )
    )


def _unmap(fields: r.Fields) -> Action:
    return do.Unmap(ops.MunmapMemseg(fields.value(GPA), fields.value(LEN)))


def _touch(fields: r.Fields) -> Action:
    touch = TouchSpec(fields.value(GPA), fields.value(TOUCH_LEN), *r.access_by(fields))
    every = fields.optional(EVERY)
    if every is None:
        return do.Do(touching(touch))
    if touch.by != "vcpu":
        raise fields.place("every").error(f"every with by: {touch.by}", "by: vcpu, or no every")
    return do.TouchEvery(touch, every)


def _where(fields: r.Fields) -> do.Where:
    if AT_GPA.name in fields:
        for key in (AT_SEGMENT.name, OFFSET.name):
            if key in fields:
                raise fields.place(key).error(f"{key} together with gpa", "one of the two")
        return do.Where(gpa=fields.optional(AT_GPA))
    if AT_SEGMENT.name not in fields:
        raise fields.node.error("no place", "gpa (through the guest), or segment and offset")
    return do.Where(segid=fields.optional(AT_SEGMENT), segoff=fields.value(OFFSET))


def _fill(fields: r.Fields) -> Action:
    length = fields.value(FILL_LEN)
    return do.Do(Fill(*_where(fields), length, fields.value(BYTE)))


def _integers(fields: r.Fields) -> tuple[int, int, int]:
    """(size, count, stride) of the integers that a poke or peek is about."""
    size = fields.value(INTEGER_SIZE)
    count = fields.value(COUNT)
    stride = fields.optional(STRIDE) or size
    n.within(fields.node, limits.WRITTEN, count * stride)
    return size, count, stride


def _poke(fields: r.Fields) -> Action:
    value = fields.value(VALUE)
    return do.Poke(_where(fields), *_integers(fields), value)


def _peek(fields: r.Fields) -> Action:
    length = fields.optional(PEEK_LEN)
    if length is not None:
        return do.Do(Read(*_where(fields), length))
    return do.Peek(_where(fields), *_integers(fields))


def _dirty(fields: r.Fields) -> Action:
    """``read`` is VM_TRACK_DIRTY_PAGES; the others are operations of VM_NPT_OPERATION."""
    word = fields.value(DIRTY_OP)
    gpa, length = fields.value(GPA), fields.value(LEN)
    pages = fields.optional(PAGES)
    if word in DIRTY_WORDS:
        return do.DirtyBits(gpa, length, DIRTY_WORDS[word], pages)
    if pages is not None:
        raise fields.place("pages").error("pages of a read", "op: get, set or reset with it")
    return do.Do(ops.TrackDirtyPages(gpa, length))


def _hold(fields: r.Fields) -> Action:
    return do.Do(ops.Hold(fields.value(GPA), r.held_access(fields)))


def _release(fields: r.Fields) -> Action:
    return do.Do(ops.Release(fields.value(HOLD), fields.value(WRITTEN)))


def _npt(fields: r.Fields) -> Action:
    return do.Do(
        ops.NptOp(
            fields.value(GPA),
            fields.value(LEN),
            fields.value(OPERATION),
            fields.optional(BITMAP),
        )
    )


def _track_dirty(fields: r.Fields) -> Action:
    return do.Do(ops.TrackDirtyPages(fields.value(GPA), fields.value(LEN)))


def _migrate(fields: r.Fields) -> Action:
    rounds = fields.value(ROUNDS)
    failing = fields.optional(FAIL_AFTER)
    try:
        fail_after = None if failing is None else parse_fail_after(failing, rounds)
    except BadValue as error:
        place = fields.node.items[FAIL_AFTER.name]
        raise place.error(error.problem, error.expected) from None
    try:
        plan = Plan(
            discipline=fields.value(DISCIPLINE),
            rounds=rounds,
            writes=fields.value(WRITES),
            devices=fields.value(DEVICES),
            device_writes=fields.value(DEVICES_WRITE),
            fail_after=fail_after,
            hops=fields.value(HOPS),
            seed=fields.value(SEED),
        )
    except BadValue as error:
        raise fields.node.error(error.problem, error.expected) from None
    return do.Migrate(plan, fields.optional(TO_GPT))


class StepKind(NamedTuple):
    """One kind of step: its keys, how to read them, and what its schema says besides.

    ``results`` is what expect may say of it beyond errno, panic and state.
    """

    keys: r.Keys
    read: Callable[[r.Fields], Action]
    results: tuple[str, ...] = ()
    rules: r.Schema = r.NO_RULES

    @property
    def may_be_bare(self) -> bool:
        """Whether the step may stand without any key."""
        return not self.rules and not any(key.needed for key in self.keys)


_ACCESS = ("pages", "mapped", "fault", "gpa")
_BITMAP = ("dirty", "bitmap")

STEPS: dict[str, StepKind] = {
    "create": StepKind((), lambda fields: do.Create(), _ACCESS),
    "alloc-memseg": StepKind((ID, SIZE, NAME, HOST_PFN), _alloc),
    "map": StepKind((GPA, SEGMENT, OFFSET, LEN, PROT, WIRED), _map, ("mapped",)),
    "unmap": StepKind((GPA, LEN), _unmap, ("lost",)),
    "touch": StepKind(
        (GPA, TOUCH_LEN, r.ACCESS, r.AGENT, EVERY),
        _touch,
        (*_ACCESS, "vm_run"),
        r.DEVICES_READ_OR_WRITE,
    ),
    "fill": StepKind((*WHERE, FILL_LEN, BYTE), _fill, _ACCESS, _ONE_PLACE),
    "poke": StepKind((*WHERE, INTEGER_SIZE, COUNT, STRIDE, VALUE), _poke, _ACCESS, _ONE_PLACE),
    "peek": StepKind(
        (*WHERE, INTEGER_SIZE, COUNT, STRIDE, PEEK_LEN),
        _peek,
        (*_ACCESS, "value", "byte"),
        _ONE_PLACE,
    ),
    "reboot": StepKind((), lambda fields: do.Reboot(), (*_ACCESS, "lost")),
    "reinit": StepKind((), lambda fields: do.Unmap(ops.Reinit()), ("lost",)),
    "pause": StepKind((), lambda fields: do.Do(ops.Pause())),
    "resume": StepKind((), lambda fields: do.Do(ops.Resume())),
    "destroy": StepKind((), lambda fields: do.Do(ops.Destroy()), ("leaks",)),
    "dirty": StepKind((GPA, LEN, DIRTY_OP, PAGES), _dirty, _BITMAP, _NO_PAGES_OF_A_READ),
    "migrate": StepKind(
        (
            *(DISCIPLINE, ROUNDS, WRITES, DEVICES, DEVICES_WRITE, FAIL_AFTER, HOPS, SEED),
            TO_GPT,
        ),
        _migrate,
        ("lost", "sent", "again"),
    ),
    "hold": StepKind((GPA, r.HELD), _hold, ("hold", "fault", "gpa")),
    "release": StepKind((HOLD, WRITTEN), _release),
    "npt": StepKind((GPA, LEN, OPERATION, BITMAP), _npt, (*_BITMAP, "returns")),
    "track-dirty": StepKind((GPA, LEN), _track_dirty, _BITMAP),
}
