"""The VMs that a command is asked about: files, whole folders of them, and stored VMs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bhyvesim.cli.files import check_name, label_of, read_bytes
from bhyvesim.cli.session import Session
from bhyvesim.errors import UsageError
from bhyvesim.text import clean, rejoined

if TYPE_CHECKING:
    from bhyvesim.config.document import Node
    from bhyvesim.lint.room import Room
    from bhyvesim.vm.spec import VmSpec

_BEFORE, _AFTER = 60, 40  # columns of a line, about what is wrong in it
_WORD = re.compile(r""""[^"]*"|'[^']*'|[^\s:,\]}#]+|[^\s]""")
YAML = (".yaml", ".yml")


class Subject(NamedTuple):
    """One VM: its description, and the document that it stands in (None: it is stored)."""

    source: str
    spec: VmSpec
    node: Node | None

    @property
    def names_its_cpu(self) -> bool:
        """Whether it is said what processor the host has; a stored VM has one."""
        return self.node is None or "cpu" in getattr(self.node, "items", ())


class Unread(NamedTuple):
    """A file that should have described a VM, and why it could not be read.

    ``told``: a line for each thing that is wrong, below it the file's own, with a caret.
    """

    source: str
    error: UsageError
    told: tuple[str, ...]

    @property
    def errors(self) -> int:
        """How many things are wrong."""
        return sum(not line.startswith(" ") for line in self.told)


class Fleet(NamedTuple):
    """What was found; ``single`` when one VM was asked for, by its file or its name."""

    vms: list[Subject]
    unread: list[Unread]
    single: bool


def gather(session: Session, paths: Sequence[str], names: Sequence[str], everything: bool) -> Fleet:
    """The VMs in *paths*, and the stored ones of *names* or all of them.

    One file and one name mean: that file's VM, under that name. Of a single file what is
    wrong is raised; among several it is kept, so that none is left out in silence. Raises
    UsageError where there is nothing to look at.
    """
    names = [rejoined(name) for name in names]
    if session.vm is not None and session.vm not in names:
        names = (*names, session.vm)
    if everything and names:
        raise UsageError("--all together with --vm: expected one of the two")
    if not paths and not names and not everything:
        raise UsageError("which VM? expected FILES or FOLDERS, --vm=NAME or --all")
    if len(paths) == 1 and not os.path.isdir(paths[0]) and len(names) < 2 and not everything:
        subject = _described(paths[0])
        if names:
            check_name(names[0])
            subject = subject._replace(spec=subject.spec.but(name=names[0]))
        return Fleet([subject], [], single=True)
    fleet = Fleet([], [], single=not paths and len(names) == 1)
    for path in _files(session, paths):
        try:
            fleet.vms.append(_described(path))
        except UsageError as error:
            fleet.unread.append(Unread(path, error, tuple(_told(path, error))))
    if names or everything:
        fleet.vms.extend(_stored(session, None if everything else names))
    if not fleet.vms and not fleet.unread:
        raise UsageError("there are no VM descriptions: expected .yaml files that describe VMs")
    return fleet


def room_for(session: Session) -> Room | None:
    """The room on the host, if anything is said of it."""
    from bhyvesim.lint.room import Room
    from bhyvesim.store.hosts import host_memory, stored_host

    with session.store.reading() as transaction:
        host = stored_host(transaction)
        return None if host is None else Room(host_memory(transaction, host), host.phys_bits)


def together_short(fleet: Fleet, room: Room | None) -> str | None:
    """What the VMs of *fleet* that are not there yet lack together, where each has enough."""
    new = [vm.spec for vm in fleet.vms if vm.node is not None]
    return None if room is None or len(new) < 2 else room.together(new)


def report_unread(session: Session, fleet: Fleet) -> None:
    """Say of each file why it could not be read, and of how many."""
    for unread in fleet.unread:
        _say(session, unread)
    if fleet.unread:
        total = len(fleet.vms) + len(fleet.unread)
        errors = sum(unread.errors for unread in fleet.unread)
        session.warn(
            f"{len(fleet.unread)} of {total} files could not be read: "
            f"{errors} error{'s' * (errors != 1)}"
        )


def say_all(session: Session, path: str, error: UsageError) -> bool:
    """Say all that is wrong with the one file at *path*; False where *error* is all of it."""
    unread = Unread(path, error, tuple(_told(path, error)))
    if unread.errors < 2:
        return False
    _say(session, unread)
    session.warn(f"{label_of(path)} could not be read: {unread.errors} errors")
    return True


def _say(session: Session, unread: Unread) -> None:
    for line in unread.told:
        (session.under if line.startswith(" ") else session.warn)(line)


def _told(path: str, error: UsageError) -> Iterator[str]:
    """All that is wrong with the file at *path*, which could not be read for *error*.

    Of a description its lines are shown, up to the end of the word that is wrong.
    """
    from bhyvesim.config.document import ConfigError
    from bhyvesim.config.problems import is_description, problems_of

    if not isinstance(error, ConfigError) or path == "-":
        yield str(error)
        return
    text, label = read_bytes(path), label_of(path)
    lines = text.decode(errors="replace").split("\n") if is_description(text) else []
    for problem in problems_of(text, label) or [error]:
        yield str(problem)
        line = lines[problem.line - 1] if problem.line <= len(lines) else ""
        word = _WORD.match(line, problem.column - 1)
        if word is not None:
            before = clean(line[max(0, problem.column - _BEFORE) : word.start()])
            yield f"    {before}{clean(word[0], _AFTER)}"
            yield f"    {' ' * len(before)}^"


def _described(path: str) -> Subject:
    from bhyvesim.config.document import parse
    from bhyvesim.config.vm import read_vm

    label = label_of(path)
    node = parse(read_bytes(path), label)
    return Subject(label, read_vm(node), node)


def _stored(session: Session, names: Sequence[str] | None) -> Iterator[Subject]:
    from bhyvesim.store.codec import decode_spec
    from bhyvesim.store.maps import decoding

    with session.store.reading() as transaction:
        for name in transaction.names() if names is None else names:
            with decoding(name):
                spec = decode_spec(transaction.vm(name).spec)
            yield Subject(name, spec, None)


def _files(session: Session, paths: Sequence[str]) -> list[str]:
    """The files themselves; of a folder the YAML files in it that are no scenarios."""
    from bhyvesim.scenario.discover import looks_like_a_scenario

    found = []
    scenarios = others = 0
    for path in paths:
        if not os.path.isdir(path):
            found.append(path)
            continue
        for inside in walk(path):
            if not inside.endswith(YAML):
                others += 1
            elif os.path.isfile(inside) and looks_like_a_scenario(read_bytes(inside)):
                scenarios += 1
            else:
                found.append(inside)
    if scenarios:
        session.note(f"passed over {scenarios} scenarios: see 'bhyvesim run'")
    if others:
        session.note(f"passed over {others} files that are not .yaml: see 'bhyvesim import'")
    return list(dict.fromkeys(found))


def walk(folder: str) -> Iterator[str]:
    """The files below *folder*, by name; hidden ones are not looked at."""
    failed: list[OSError] = []
    for here, folders, names in os.walk(folder, onerror=failed.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(here, name) for name in sorted(names) if name[0] != ".")
    for error in failed:
        raise UsageError(f"{error.filename}: {error.strerror}: expected a readable folder")
