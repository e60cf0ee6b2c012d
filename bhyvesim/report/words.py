"""What the words in outputs mean: the one source of 'explain WORD' and of docs/reference/codes.md.

Codes of 'check' and revisions have tables of their own; panics by their letters are put
together from the revisions that know them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bhyvesim.errors import ERRNOS
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.lint.rules import RULES


class Word(NamedTuple):
    """A word, where it is read, and what it means."""

    word: str
    where: str
    meaning: str


# What comes of the letters is with the kernels; here, what the guest or its VMM did.
_PANICS = {
    "A": "A leaf table is freed though entries in it are still set: of a page too many that "
    "13932 unmaps (bug 14042), or of another memmap that shares the leaf.",
    "B": "A hold asked for a page that no memmap covers, in a leaf table that is there all the "
    "same. A device reaches such a hole, and so does the emulation of an instruction.",
    "C": "A memmap crosses a multiple of 512 GiB, and its tables past that line are looked for "
    "where they are not.",
    "D": "A memmap crosses a multiple of 512 GiB where a table exists already; it is added a "
    "second time.",
    "E": "A page is mapped that may not be read, on AMD.",
}
_BUGS = {
    "14042": "Bug 14042: the page tables took the end of a range as inclusive, so unmapping the "
    "boot ROM also unmapped the first page behind it, and freed its leaf table. A DEBUG kernel "
    "panics over that (panic A), a production kernel loses pages. 13932 has the bug; it is "
    "mended from 14042 on.",
}
_ERRNOS = {
    "EPERM": "may not be done",
    "ENOENT": "there is no such VM, segment, memmap or dump",
    "E2BIG": "too much at once",
    "ENOMEM": "no memory for it",
    "EFAULT": "an address that cannot be, or that is taken",
    "EBUSY": "in use",
    "EEXIST": "there is one already",
    "EINVAL": "an argument that makes no sense to the kernel",
    "ENOTTY": "this kernel has no such operation",
    "ENOSPC": "no slot is left",
    "EOVERFLOW": "a number too large",
    "EALREADY": "done already, or under way",
}
_TOLD = (
    Word(
        "hang",
        "matrix, run, explore",
        "A thread of the kernel loops for ever with locks held: the host needs a reset. From "
        "13896 on, whatever unmaps anything of a VM while a page of it is held comes to that "
        "(BV115). Exit status 3.",
    ),
    Word("panic", "matrix, run, explore", "A failed assertion stopped the kernel, host and all."),
    Word(
        "lost",
        "matrix, run, explore",
        "Pages whose memmap stays have lost their entries: what the guest had there is not "
        "mapped any more. A production kernel has no ASSERTs that would stop it.",
    ),
    Word(
        "drift",
        "matrix, fsck, explore",
        "The kernel's counter of resident pages, less the entries that are set. Kernels from "
        "13896 on do not take pages of a memmap off the counter when it goes, so it grows with "
        "every reboot; where entries were lost, it is off on others too. --get-stats is wrong by "
        "it.",
    ),
    Word("counter", "fsck", "The kernel's counter of resident pages is wrong: damage."),
    Word("refused", "matrix, explore", "The kernel answered with an errno, and did nothing."),
    Word("leak", "explore, leaks", "Tables, pages or segments that nobody needs and nobody frees."),
    Word("bitmap", "explore", "The kernel says of a clean page that it is dirty."),
    Word("clean", "explore", "The kernel says of a written page that it is clean."),
    Word("broken", "explore", "The page tables are damaged; see fsck."),
    Word("difference", "explore", "Two kernels do not do the same."),
    Word("tree", "fsck", "The tables do not hang together as levels of one tree."),
    Word("memmap", "fsck", "Memmaps and segments do not fit each other."),
    Word("stray", "fsck", "Entries are set where nothing is mapped."),
    Word("entry", "fsck", "An entry leads to another page than its memmap says."),
    Word("twin", "fsck", "A table is there twice."),
    Word("table", "fsck", "A table that a memmap needs is missing."),
    Word("count", "fsck", "A leaf table miscounts the memmaps that use it."),
    Word("idle", "fsck", "Tables that no memmap needs."),
    Word("wired", "fsck", "A wired memmap lacks some of its pages."),
    Word("safe", "matrix", "Created, touched, rebooted three times and destroyed without harm."),
    Word("NOT SAFE", "matrix", "Something of that life panics, hangs, loses pages or is refused."),
    Word("unreadable", "matrix, check, import", "The file describes no VM; it was not looked at."),
    Word("none", "matrix --from --to", "The rollout changes nothing for the VM."),
    Word("becomes safe", "matrix --from --to", "Safe on the new revision alone."),
    Word(
        "unknown",
        "matrix, run, bisect, replay --live, migrate",
        "It is not known: what the kernel does there is not modelled, or was not recorded.",
    ),
    Word("becomes NOT SAFE", "matrix --from --to", "Safe on the old revision alone."),
    Word("NOT SAFE on either", "matrix --from --to", "Safe on neither, each in its own way."),
    Word("off", "list", "Powered off: it has its memory, and no vCPU runs."),
    Word("running", "list", "The VM runs."),
    Word("paused", "list", "None of the VM's vCPUs runs until 'resume' (VM_PAUSE, from 15844 on)."),
    Word("panicked", "list", "The kernel under the VM has panicked; its dump is kept."),
    Word("hung", "list", "The kernel under the VM hangs; its dump is kept."),
    Word("destroyed", "destroy", "The VM is gone, as the kernel does it."),
    Word("forgotten", "destroy", "The VM is gone; no kernel was asked."),
    Word("FC_NOMAP", "touch, hold, peek", "Nothing is mapped at the address."),
    Word("FC_PROT", "touch, hold, peek", "Something is mapped there, and does not permit that."),
    Word("note", "check", "A shape to know of; it endangers no kernel that is meant."),
    Word("warning", "check", "It endangers a kernel, not the one that the description names."),
    Word("error", "check", "It endangers the kernel that the description names."),
    Word("ok", "matrix, run, import", "Nothing is wrong."),
    Word("n/a", "bisect", "The revision lacks an operation of the scenario."),
    Word("FAIL", "run", "An expectation was not met."),
    Word("in the oldest", "bisect", "The failure is there from the oldest revision on."),
    Word("brought", "bisect", "The revision with which the failure came."),
    Word("changed", "bisect", "The revision from which on it fails in another way."),
    Word("mended", "bisect", "The revision with which the failure went."),
)


def words() -> Iterator[Word]:
    """All words, panics first."""
    for letter in letters():
        yield Word(letter, "matrix, run, explore", _panic(letter))
    yield from _TOLD
    for name, number in ERRNOS.items():
        yield Word(name, "wherever a kernel refuses", f"errno {number}: {_ERRNOS[name]}.")


def letters() -> list[str]:
    """The letters of the panics that are known."""
    found = {stop.letter for r in REVISIONS.values() for stop in r.stops if stop.letter}
    return sorted(found)


def _panic(letter: str) -> str:
    stops = [(r.name, s) for r in REVISIONS.values() for s in r.stops if s.letter == letter]
    where = stops[0][1]
    claim = f", which asserts {where.claim}" if where.claim else ""
    name = where.name
    codes = [rule.code for rule in RULES.values() if name in rule.why]
    beside = f" See {', '.join(codes)}." if codes else ""
    kernels = ", ".join(gpt for gpt, _ in stops)
    told = f" {_PANICS[letter]}" if letter in _PANICS else ""
    return f"The kernel panics in {where.function}{claim}.{told} Known on {kernels}.{beside}"


class ExplainedWord(NamedTuple):
    """`bhyvesim explain WORD`: what was asked, what that is and where it stands, what it means."""

    word: str
    heading: str
    text: list[str]


def explained(text: str) -> list[str]:
    """What *text* means, in paragraphs: a word, a code or a revision; empty where it is none.

    Upper and lower case are one, but where two words differ in nothing else.
    """
    said = text.removeprefix("revision-").strip()
    revision = REVISIONS.get(said)
    if revision is not None:
        told = [
            f"revision {revision.name} ({revision.date}): {revision.summary}.",
            f"Known: {revision.known}.",
        ]
        return told + ([_BUGS[said]] if said in _BUGS else [])
    said = said.removeprefix("panic ").upper()
    rule = RULES.get(said)
    if rule is not None:
        return [f"{rule.code} ({rule.name}): {rule.summary}", rule.why]
    for rule in RULES.values():
        if rule.name.upper() == said:
            return explained(rule.code)
    for word in words():
        if word.word.upper() == said:
            label = f"panic {word.word}" if word.word in letters() else word.word
            return [f"{label} ({word.where})", word.meaning]
    return []


def every_word() -> Iterator[tuple[str, str]]:
    """What can be asked for, each with what it is in a few words."""
    for word in words():
        yield word.word, word.where
    yield from ((rule.code, rule.summary) for rule in RULES.values())
    yield from ((revision.name, revision.summary) for revision in REVISIONS.values())


def asked(outcomes: Iterable[str], *, drift: bool) -> list[str]:
    """What to ask about the *outcomes* of a life: the words in them that have a meaning here."""
    found: dict[str, None] = {}
    for outcome in outcomes:
        kind, _, rest = outcome.partition(" ")
        word = rest.partition(" ")[0] if kind in ("panic", "refused") else kind
        if outcome != "ok" and explained(word):
            found[word] = None
    return [*found, *(["drift"] if drift else [])]
