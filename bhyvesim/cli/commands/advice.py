"""check and explain: what is wrong before it costs anything, and what happened when it did."""

from __future__ import annotations

import sys

import click
from click.shell_completion import CompletionItem

from bhyvesim.cli.fleet import (
    Subject,
    gather,
    report_unread,
    room_for,
    say_all,
    together_short,
)
from bhyvesim.cli.pages import write
from bhyvesim.cli.params import (
    complete_crash,
    fleet_arguments,
    revision_option,
    vm_option,
)
from bhyvesim.cli.session import Session
from bhyvesim.cli.subject import MAX_DIGITS, is_dump_file, read_dump_file
from bhyvesim.cli.told import tell_failed
from bhyvesim.crash.dump import CrashDump
from bhyvesim.errors import UsageError
from bhyvesim.lint.review import by_place, review
from bhyvesim.lint.room import Room
from bhyvesim.lint.rules import Severity
from bhyvesim.report import findings, words
from bhyvesim.report.explain import explain_lines, explained
from bhyvesim.report.fit import paragraph
from bhyvesim.report.model import document
from bhyvesim.store.dumps import read_crash
from bhyvesim.units import shorten

_LEVELS = {"note": 1, "warning": 2, "error": 3, "never": 4}


@click.command()
@fleet_arguments
@click.option(
    "--format",
    "fmt",
    type=click.Choice(("plain", "json", "github", "sarif")),
    help="How to print the findings.",
)
@click.option(
    "--fail-on",
    type=click.Choice(tuple(_LEVELS)),
    default="warning",
    help="The least severe finding that makes the exit status 1. [default: warning]",
)
@revision_option
@click.pass_obj
def check(
    session: Session,
    paths: tuple[str, ...],
    names: tuple[str, ...],
    everything: bool,
    fmt: str | None,
    fail_on: str,
) -> int:
    """Review VM descriptions without running them.

    A finding is an error where it endangers the kernel that the description names, a
    warning where it endangers a later one (or any, if none is named), else a note. A
    folder stands for the descriptions in it. After the findings of several VMs comes a
    row for each. Where the host is described (see 'host set'), what its memory and its
    addresses do not let in is an error too. Exit status 2 when a file could not be read.
    """
    try:
        fleet = gather(session, paths, names, everything)
    except UsageError as error:
        if len(paths) != 1 or not say_all(session, paths[0], error):
            raise
        if fmt == "json":
            tell_failed(str(error), error.exit_code, error)
        return error.exit_code
    room = room_for(session)
    reviews = [(vm, _review(vm, room)) for vm in fleet.vms]
    found = [located for _, locateds in reviews for located in locateds]
    text = ""
    if fmt == "json":
        unread = [(unread.source, str(unread.error)) for unread in fleet.unread]
        text = document(findings.reviewed(found, unread))
    elif fmt == "github":
        text = findings.github(found)
    elif fmt == "sarif":
        text = findings.sarif(found)
    else:
        write(lambda width: findings.lines(found, width), fmt)
    sys.stdout.write(text)
    if fmt in (None, "plain") and not fleet.single:
        rows = [(vm.source, vm.spec.memory, [f.finding for f in mine]) for vm, mine in reviews]
        if found:
            sys.stdout.write("\n")
        together = together_short(fleet, room)
        unread_files = [unread.source for unread in fleet.unread]
        session.emit(findings.fleet(rows, unread_files, together), "plain" if fmt else None)
    report_unread(session, fleet)
    if fleet.unread:
        return 2
    worst = max((located.finding.severity for located in found), default=Severity.NOTE)
    return 1 if found and worst >= _LEVELS[fail_on] else 0


def _review(vm: Subject, room: Room | None) -> list[findings.Located]:
    from bhyvesim.config.places import names_its_kernel, place_of

    if vm.node is None:  # and so has its memory already
        named = review(vm.spec, kernel_is_named=True)
        return [findings.Located(vm.source, None, None, finding) for finding in named]
    located = []
    found = review(vm.spec, kernel_is_named=names_its_kernel(vm.node))
    if room is not None:
        found = by_place([*found, *room.findings(vm.spec, found)])
    for finding in found:
        place = place_of(vm.node, vm.spec, mapping=finding.mapping, segment=finding.segment)
        located.append(findings.Located(vm.source, place.line, place.column, finding))
    return located


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Words, and the ids of crashes."""
    known = [
        CompletionItem(word, help=about)
        for word, about in words.every_word()
        if word.startswith(incomplete)
    ]
    prefix = "crash:" if incomplete.startswith("crash:") else ""
    return complete_crash(ctx, param, incomplete, prefix) + known


@click.command()
@click.argument("subject", metavar="[WORD|CRASH|FILE]", required=False, shell_complete=_complete)
@click.option("--format", "fmt", type=click.Choice(("plain", "json")))
@vm_option
@revision_option
@click.pass_obj
def explain(session: Session, subject: str | None, fmt: str | None) -> None:
    """Explain a panic with the numbers of its case, or a word of an output.

    A WORD is a code of 'check' (BV101), a panic's letter (A), a word of 'matrix', 'fsck' or
    'explore' (lost, drift, hang), an errno, or the number of a revision or bug (14042). CRASH
    is the id of a crash dump, crash:ID where that is a revision's number too; without one, the
    last of the VM is meant, or the last there is. A FILE with a dump has a slash in its name,
    or ends in .dump.
    """
    if subject is not None and is_dump_file(subject) and not words.explained(subject):
        _tell(fmt, read_dump_file(subject), None)
        return
    if subject is not None and not _is_crash(subject):
        _explain_word(subject, fmt)
        return
    with session.store.reading() as transaction:
        if subject is not None:
            row = transaction.crash(int(subject.removeprefix("crash:")))
        elif session.vm is not None:
            if all(row.vm != session.vm for row in transaction.crashes()):
                transaction.crash()
                raise UsageError(f"{session.vm} has left no crash dump: expected one that has")
            row = transaction.crash(vm=session.vm)
        else:
            row = transaction.crash()
        dump = read_crash(transaction, row)
    _tell(fmt, dump, row.id)


def _is_crash(subject: str) -> bool:
    """Whether *subject* is a dump's id, alone or after ``crash:``, and no revision's number."""
    number = subject.removeprefix("crash:")
    is_number = number.isascii() and number.isdigit()
    if number != subject and not is_number:
        raise UsageError(f"{shorten(subject)} is no crash: expected crash: and its id")
    if is_number and len(number) > MAX_DIGITS:
        raise UsageError(f"{shorten(number)} is too large for an id: expected a crash's")
    return is_number and (number != subject or not words.explained(subject))


def _tell(fmt: str | None, dump: CrashDump, number: int | None) -> None:
    if fmt == "json":
        sys.stdout.write(document(explained(dump, number)))
    else:
        write(lambda width: explain_lines(dump, number, width), fmt)


def _explain_word(word: str, fmt: str | None) -> None:
    told = words.explained(word)
    if not told:
        from difflib import get_close_matches

        known = [name for name, _ in words.every_word()]
        near = get_close_matches(word[:40].upper(), [name.upper() for name in known], n=1)
        meant = [name for name in known if near and name.upper() == near[0]]
        hint = f"; did you mean {meant[0]!r}?" if meant else ""
        raise UsageError(
            f"{shorten(word)} explains nothing: expected a crash id, a file with a dump, or a word "
            f"of an output such as A, lost, BV101 or 14042{hint}"
        )

    if fmt == "json":
        sys.stdout.write(document(words.ExplainedWord(word, told[0], told[1:])))
        return

    def lines(width: int | None) -> list[str]:
        found = paragraph(told[0], width)
        for part in told[1:]:
            found.append("")
            for line in part.split("\n"):
                found += paragraph(line, min(width or 78, 78))
        return found

    write(lines, fmt)
