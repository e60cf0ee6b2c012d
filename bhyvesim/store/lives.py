"""Machines from their rows, and what of a machine has to be stored anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from bhyvesim.kernel.gpt.leaf import Leaf
from bhyvesim.kernel.gpt.steps import Unread
from bhyvesim.kernel.gpt.windows import WINDOW, Leaves, Run, count_set, leaves_of, parts_of
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.pages import Pages, UnreadPages, Window
from bhyvesim.store import codec
from bhyvesim.store.maps import decoding
from bhyvesim.store.rows import Change, Moment, NewPart, PartRow, VmRow, checksum_of
from bhyvesim.store.transaction import Transaction
from bhyvesim.vm.spec import VmSpec

# Kinds of parts: a run of leaf tables, a window of them, a window of memory's pages.
STRETCH, LEAVES, PAGES = range(3)

_Key = tuple[int, int]  # kind and place


class Stored:
    """A machine as it was stored: its description, and the parts that it was made of."""

    def __init__(self, spec: VmSpec, machine: Machine, parts: Iterable[PartRow]) -> None:
        self.spec = spec
        self.machine = machine
        self.parts = list(parts)


def load(transaction: Transaction, row: VmRow) -> Stored:
    """The machine of a stored VM. Raises Damaged, and UsageError for a revision not here."""
    return load_moment(transaction, row.name, row.life, row.seq, row.moment, row.spec)


def load_moment(
    transaction: Transaction, what: str, life: int, seq: int, moment: Moment, spec: str
) -> Stored:
    """The machine of one moment of a life; *what* is for messages.

    What is not looked at is not read: windows of tables and of memory come when somebody
    asks for them, and then raise Damaged where they are.
    """
    parts = transaction.parts(what, life, seq, moment)

    def body(part: PartRow) -> bytes:
        return codec.unpacked(transaction.later(what, part))

    with decoding(what):
        snapshot = codec.decode_outline(moment.state, moment.maps, moment.outline)
        leaves = _leaves(what, parts, body)
        contents = _contents(what, parts, body)
        machine = Machine.restored(snapshot, leaves, contents)
        if transaction.eager:
            machine.snapshot()  # reads all
        return Stored(codec.decode_spec(spec), machine, parts)


def _leaves(what: str, parts: Iterable[PartRow], body: Callable[[PartRow], bytes]) -> Leaves:
    def window(part: PartRow) -> Unread[Leaf | None]:
        def read() -> list[Run]:
            with decoding(what):
                return codec.decode_window(part.first, body(part))

        return Unread(read, part.hash, part.entries)

    stretches = [
        (part.first, part.end, codec.decode_leaf(body(part)))
        for part in parts
        if part.kind == STRETCH
    ]
    windows = {part.first // WINDOW: window(part) for part in parts if part.kind == LEAVES}
    return leaves_of(stretches, windows)


def _contents(what: str, parts: Iterable[PartRow], body: Callable[[PartRow], bytes]) -> Pages:
    def window(part: PartRow) -> UnreadPages:
        def read() -> Window:
            with decoding(what):
                return codec.decode_pages(part.first, body(part))

        return UnreadPages(read, part.hash)

    return Pages.unread({part.first: window(part) for part in parts if part.kind == PAGES})


class Recorder:
    """Follows a machine from moment to moment, and says what changed."""

    def __init__(self, machine: Machine, parts: Iterable[PartRow] = ()) -> None:
        self.machine = machine
        self._parts: dict[_Key, PartRow | NewPart] = {(p.kind, p.first): p for p in parts}
        self._last: Moment | None = None

    @classmethod
    def of(cls, stored: Stored, moment: Moment) -> Recorder:
        """Of a machine as it was stored at *moment*."""
        recorder = cls(stored.machine, stored.parts)
        recorder._last = moment
        return recorder

    def take(self, spec_digest: str, state: str) -> Change | None:
        """What became of the machine since the last time; None: nothing."""
        maps, outline = codec.encode_outline(self.machine.outline())
        now = dict(sorted(self._now()))
        resident, parts = self.machine.resident, checksum_of(now.values())
        moment = Moment(state, spec_digest, maps, outline, resident, parts)
        gone = tuple(p for key, p in self._parts.items() if not _same(p, now.get(key)))
        come = tuple(
            part
            for key, part in now.items()
            if isinstance(part, NewPart) and not _same(part, self._parts.get(key))
        )
        if moment == self._last and not gone and not come:
            return None
        self._last = moment
        self._parts = now
        return Change(moment, gone, come)

    def digest(self) -> str:
        """SHA-256 of the machine as it was last taken: of equal states the same."""
        m = self._last
        assert m is not None
        head = [m.state, m.spec, m.maps, codec.unpacked(m.outline).decode()]
        rows = [b"%d %d %d %b" % (p.kind, p.first, p.end, p.hash) for p in self._parts.values()]
        return codec.digest_of(*(text.encode("utf-8", "surrogatepass") for text in head), *rows)

    def _now(self) -> Iterator[tuple[_Key, PartRow | NewPart]]:
        """All parts of the machine; those that are unread as they are stored."""
        for part in parts_in_memory(self.machine.space.gpt.leaves, self.machine.contents):
            yield (part.kind, part.first), part
        for key in unread_parts(self.machine.space.gpt.leaves, self.machine.contents):
            yield key, self._parts[key]


def parts_in_memory(leaves: Leaves, contents: Pages) -> Iterator[NewPart]:
    """What of a machine's tables and memory is in memory, as parts."""
    stretches, windows = parts_of(leaves)
    for first, end, leaf in stretches:
        yield _new(STRETCH, first, end, 0, codec.encode_leaf(leaf))
    for number, window in windows.items():
        if not isinstance(window, Unread):
            first, end = number * WINDOW, (number + 1) * WINDOW
            yield _new(LEAVES, first, end, count_set(window), codec.encode_window(first, window))
    for number, pages in contents.windows().items():
        if not isinstance(pages, UnreadPages):
            yield _new(PAGES, number, number + 1, 0, codec.encode_pages(pages))


def unread_parts(leaves: Leaves, contents: Pages) -> Iterator[_Key]:
    """What of them is not, by kind and place."""
    for first, _, unread in leaves.parts():
        if unread is not None:
            yield LEAVES, first
    for number, pages in contents.windows().items():
        if isinstance(pages, UnreadPages):
            yield PAGES, number


def _new(kind: int, first: int, end: int, entries: int, data: bytes) -> NewPart:
    return NewPart(kind, first, end, entries, codec.hash_of(data), codec.packed(data))


def _same(one: PartRow | NewPart, other: PartRow | NewPart | None) -> bool:
    return other is not None and one[:5] == other[:5]
