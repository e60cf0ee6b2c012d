"""A crash as it is told: the cause, the guest, on which kernels it is safe, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from bhyvesim import limits
from bhyvesim.config.importers.crash.cause import Known, cause_of
from bhyvesim.config.importers.crash.proof import Proof, prove, scenario_text
from bhyvesim.config.importers.crash.reader import Crash, Reader
from bhyvesim.config.importers.crash.shape import shape_of
from bhyvesim.config.importers.draft import Draft, Found
from bhyvesim.config.importers.source import ImportProblem, Source
from bhyvesim.kernel.pte.format import pfn_of
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.text import clean
from bhyvesim.units import shorten

_SHOWN = 140  # characters of what is quoted
_MAX_LISTED = 20
_EXPECTED = "what an illumos kernel's panic leaves: ::status and $C, a console, fmdump -Vp"
_CAUSES = {
    "A": "a leaf of the nested page tables that was to be freed still held entries",
    "B": "a device or an emulated instruction reached into a hole beside a memmap",
    "C": "a memmap crosses a multiple of 512 GiB",
    "D": "a memmap crosses a multiple of 512 GiB, and a table past it is there already",
    "E": "a page was mapped that may not be read",
    "": "a memmap was taken away while a page of the VM was held",
}
_ADVICE = {
    "A": "Do not reboot or destroy such a VM on this kernel: that is where it panics.",
    "B": "Fill the hole, or run no guest there that you do not trust: the guest can do this.",
    "C": "Do not restart this VM on another host with this kernel: that one panics, too.",
    "D": "Do not restart this VM on another host with this kernel: that one panics, too.",
    "E": "Give every memmap the protection to read.",
    "": "Take no memmap away while devices of the VM are at work: pause it first.",
}


@dataclass(slots=True)
class Told:
    """All that is to be said of one crash. Without ``known`` it is a panic unknown here.

    ``draft`` is its VM, None where nothing tells of its memory.
    """

    source: str
    crash: Crash
    known: Known | None
    draft: Draft | None = None
    proof: Proof | None = None
    assumed: list[str] = field(default_factory=list)

    @property
    def message(self) -> str:
        """The panic's message, fit to be shown."""
        return clean(self.crash.message, _SHOWN) or "no message"

    @property
    def functions(self) -> tuple[str, ...]:
        """The stack, innermost first, fit to be shown."""
        return tuple(clean(f.function, 60) for f in self.crash.frames)

    @property
    def on(self) -> tuple[str, ...]:
        """The revisions that come to such a panic: by running the VM, where that shows it."""
        assert self.known is not None
        came = () if self.proof is None else self.proof.reproduced(self.known)
        return came or self.known.revisions

    @property
    def reproduced(self) -> tuple[str, ...]:
        """The revisions on which the model comes to the same with this VM."""
        known = self.known
        return () if self.proof is None or known is None else self.proof.reproduced(known)

    @property
    def safe(self) -> tuple[str, ...] | None:
        """The revisions on which this VM is safe, both builds; None where it was not run."""
        return None if self.proof is None else self.proof.safe()

    @property
    def mended(self) -> str | None:
        """The first revision that mends it, for this VM where it was run; None where none does."""
        if self.known is None:
            return None
        names = list(REVISIONS)
        last = max(map(names.index, self.reproduced or self.known.had))
        return names[last + 1] if last + 1 < len(names) else None

    def verdict(self) -> str:
        """All of it in a line."""
        if self.known is None:
            return f"a panic that is not known here: {self.message}"
        what = f"{self.known.stop.name} of {_listed(self.on)}"
        if self.proof is None:
            return f"{what}; the text does not tell the VM's memory"
        if not self.reproduced:
            return f"{what} by its text, but this VM does not come to it when it is run"
        return f"{what}; safe on {_listed(self.safe or ()) or 'no kernel here'}"

    def notes(self) -> list[str]:
        """The findings, a line each, for the head of a description."""
        return [*self._what(), *self._how_sure(), *self._where(), *self._now()]

    def _what(self) -> Iterator[str]:
        yield f"Panic message: {self.message}"
        if self.crash.system:
            yield f"Kernel: {clean(self.crash.system, _SHOWN)}"
        if self.known is None:
            yield "This panic is not known here."
            if self.functions:
                yield f"Stack: {clean(', '.join(self.functions), _SHOWN)}"
            return
        yield f"Cause: {self.known.stop.name} of {_listed(self.on)}: " + (
            f"{_CAUSES.get(self.known.stop.letter, 'as this revision has it')}."
        )
        if self.known.stop.letter == "A" and self.known.values is not None:
            entry, _ = self.known.values
            yield f"The entry that was left: {entry:#x}, of the page with PFN {pfn_of(entry):#x}."

    def _how_sure(self) -> Iterator[str]:
        if self.known is None:
            return
        if self.known.doubt:
            yield f"In doubt: {self.known.doubt}."
        for what in self.assumed:
            yield f"Assumed: {what}."
        if self.draft is None:
            yield "The text does not tell the VM's memory, so there is no description of it."
        elif self.reproduced:
            yield f"Run here, this VM comes to the same on {_listed(self.reproduced)}."
        else:
            yield "Run here, this VM does not come to it on any kernel: it may be another one."

    def _where(self) -> Iterator[str]:
        if self.proof is None:
            return
        yield f"Safe on {_listed(self.safe or ()) or 'no kernel here'} (DEBUG and production)."
        for life in self.proof.lives:
            if life.outcome != "ok":
                yield f"Not safe on {life.kernel.name}: {life.outcome}."
        on_amd = {life.kernel: life.outcome for life in self.proof.lives}
        for life in self.proof.intel:
            if life.outcome not in ("ok", on_amd[life.kernel]):
                yield f"Not safe on {life.kernel.name}, on Intel: {life.outcome}."
        if self.known is not None and self.known.stop.letter:
            yield "Not counted: kernels from 13896 on hang if a page is held at an unmap (BV115)."

    def _now(self) -> Iterator[str]:
        if self.known is None:
            yield "Now: look for it among the kernel's own bugs."
            return
        advice = _ADVICE.get(self.known.stop.letter)
        if advice:
            yield f"Now: {advice}"
        if self.mended is None:
            yield "No kernel here mends it."
        else:
            yield f"Then: a kernel of {self.mended}, which mends it, or a later one that is safe."
        if self.draft is None:
            yield "For a description, paste the output of bhyvectl --get-memmap beside it."

    def scenario(self) -> str:
        """A scenario over all revisions that passes; there has to be a VM."""
        assert self.draft is not None
        assert self.known is not None
        assert self.proof is not None
        told = [f"From {clean(self.source, _SHOWN)}.", *self.notes()]
        return scenario_text(self.draft, self.known, self.proof, told)


def crashes_in(lines: Iterable[bytes], source: str, *, long: bool = False) -> Reader:
    """The crashes that *lines* tell of; at least one. Raises ImportProblem.

    *long*: the text is too long to be anything else.
    """
    reader = Reader().read(lines)
    ours = [c for c in reader.crashes if c.frames or c.forms - {"text"}]
    if reader.foreign and not ours:
        raise ImportProblem(
            source, reader.foreign_line, f"this is a trace of {reader.foreign}", _EXPECTED
        )
    if not reader.crashes and long:
        what = f"over {limits.FOREIGN.most} bytes, and no panic in them"
        raise ImportProblem(source, 1, what, "a smaller file")
    if not reader.crashes:
        raise ImportProblem(source, 1, "no panic is told of", _EXPECTED)
    return reader


def tell(reader: Reader, crash: Crash, source: str, vm: str | None = None) -> Told:
    """Everything about *crash*; its VM is called *vm*, if given. Raises ImportProblem."""
    known = cause_of(crash)
    if known is None and reader.foreign:
        raise ImportProblem(
            source, reader.foreign_line, f"this is a trace of {reader.foreign}", _EXPECTED
        )
    told = Told(source, crash, known)
    if known is None:
        return told
    draft = shape_of(reader, crash, known, source)
    if draft is None:
        return told
    draft.name, draft.name_origin = (vm, "--vm") if vm else ("crashed", "none is given")
    told.draft, told.proof = draft, prove(draft, known, crash)
    if told.proof.only_on_intel(known):
        draft.cpu, draft.cpu_origin = "intel", "assumed: it comes to this panic only there"
        draft.assumed.append("an Intel host: on AMD this VM does not come to it")
        told.proof = prove(draft, known, crash)
    told.assumed = list(draft.assumed)
    draft.notes = [*told.notes(), *draft.notes]
    return told


def choose(reader: Reader, source: str, pick: int | None) -> Crash:
    """The one crash, or the one that *pick* counts to. Raises ImportProblem, with a list."""
    crashes = reader.crashes
    if pick is not None and pick <= len(crashes):
        return crashes[pick - 1]
    if pick is None and len(crashes) == 1:
        return crashes[0]
    given = f"{len(crashes)} crashes" if pick is None else f"--pick {pick} of {len(crashes)}"
    shown = ", ".join(
        f"{number} (line {crash.line}: {clean(crash.message, 60) or 'no message'})"
        for number, crash in enumerate(crashes[:_MAX_LISTED], start=1)
    )
    more = ", …" if len(crashes) > _MAX_LISTED or reader.more else ""
    raise ImportProblem(source, crashes[0].line, given, f"--pick with one of {shown}{more}")


def looks_like(source: Source) -> bool:
    """Whether the text tells of a panic of illumos."""
    return is_crash(source.text.encode())


def is_crash(data: bytes) -> bool:
    """Whether *data* tells of a panic, or shows the stack of one."""
    reader = Reader().read(data.splitlines())
    return bool(reader.crashes or reader.foreign)


def read(source: Source) -> list[Found]:
    """The VMs of the crashes in *source*. Reading one that has none raises ImportProblem."""
    reader = crashes_in(source.text.encode().splitlines(), source.name)
    return [Found(crash.line, partial(_draft, reader, crash, source)) for crash in reader.crashes]


def _draft(reader: Reader, crash: Crash, source: Source) -> Draft:
    told = tell(reader, crash, source.name)
    if told.draft is None:
        raise source.problem(
            crash.line, shorten(told.verdict(), 200), "a panic that tells of a VM's memory"
        )
    told.draft.name = None
    return told.draft


def _listed(names: Iterable[str]) -> str:
    words = list(names)
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
