"""gpt: the whole page table, folded."""

from __future__ import annotations

import click

from bhyvesim.cli.pages import show, usual
from bhyvesim.cli.params import SPAN, revision_option, subject_options
from bhyvesim.cli.session import Session
from bhyvesim.cli.subject import subject
from bhyvesim.errors import BadValue
from bhyvesim.kernel.gpt.filters import EntryFilter, parse_bits, parse_rights
from bhyvesim.kernel.pte import PteFormat
from bhyvesim.kernel.pte.format import bit_names
from bhyvesim.span import Span

_ROWS = 1000


@click.command()
@click.option("--range", "span", type=SPAN, help="A-B (B exclusive) or A+LEN, bytes.")
@click.option(
    "--level",
    type=click.IntRange(1, 4),
    help="Tables of this level, 4 the root; with 1, the entries for pages as well.",
)
@click.option("--has", metavar="BITS", help="Entries with these bits, without those after !.")
@click.option("--prot", metavar="PROT", help="Entries that permit at least rw; rw- exactly that.")
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1),
    help=f"At most N rows. [default: {_ROWS} in a tree or table]",
)
@click.option(
    "--format",
    "fmt",
    type=click.Choice(("tree", "plain", "table", "json")),
    help="How to print; a tree on a terminal, else plain.",
)
@subject_options
@revision_option
@click.pass_obj
def gpt(
    session: Session,
    span: Span | None,
    level: int | None,
    has: str | None,
    prot: str | None,
    limit: int | None,
    fmt: str | None,
) -> None:
    """Show the page table, alike neighbours as one row.

    Tables, and the entries for pages that they hold; with --has or --prot those entries
    alone. --has dirty,!accessed asks for pages that are dirty and not accessed.
    """
    from bhyvesim.report.tables import Wanted, tree_page

    if level not in (None, 1) and (has is not None or prot is not None):
        raise click.UsageError("--has and --prot pick entries for pages: expected --level 1")
    fmt = fmt or usual("tree")
    seen = subject(session)
    wanted = Wanted(level=level, entries=_filter(seen.machine.npt, has, prot), limit=limit)
    if span is not None:
        wanted = wanted._replace(span=span)
    if limit is None and fmt in ("tree", "table"):
        wanted = wanted._replace(limit=_ROWS)
    show(tree_page(seen.title, seen.name, seen.machine, wanted, fmt), fmt)


def _filter(npt: PteFormat, has: str | None, prot: str | None) -> EntryFilter | None:
    if has is None and prot is None:
        return None
    option = "--has"
    try:
        with_bits, without = (
            (frozenset[str](),) * 2 if has is None else parse_bits(has, bit_names(npt))
        )
        option = "--prot"
        permits, exactly = (0, False) if prot is None else parse_rights(prot)
    except BadValue as error:
        raise click.BadParameter(str(error), param_hint=option) from None
    return EntryFilter(with_bits, without, permits, exactly)
