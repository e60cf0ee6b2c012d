"""find: from a host page, or an entry, back to the guest."""

from __future__ import annotations

import click

from bhyvesim.cli.pages import show
from bhyvesim.cli.params import Parsed, format_option, revision_option, subject_options
from bhyvesim.cli.session import Format, Session
from bhyvesim.cli.subject import subject
from bhyvesim.errors import BadValue
from bhyvesim.kernel.pte.format import PFN_BITS, pfn_of
from bhyvesim.units import PAGE_SHIFT, parse_size, shorten


def _below(bits: int, what: str, example: str, first: int = 0) -> Parsed:
    """A number of up to *bits* bits, from *first* on, decimal or 0x….

    *what* it is and an *example* are for people who gave another.
    """

    def parse(text: str) -> int:
        expected = f"{what} such as {example}, below 2^{bits}"
        try:
            number = parse_size(text)
        except BadValue:
            raise BadValue(f"{shorten(text)} is no number", expected) from None
        if not first <= number < 1 << bits:
            raise BadValue(f"{number:#x} is out of range", expected)
        return number

    return Parsed("number", parse)


PFN = _below(PFN_BITS, "a page frame number", "0xe23cd7")
HPA = _below(PFN_BITS + PAGE_SHIFT, "an address", "0xe23cd7000")
PTE = _below(64, "an entry that is not 0,", "0xe23cd7067", 1)


@click.command()
@click.option("--pfn", metavar="N", type=PFN, help="A host page frame.")
@click.option("--hpa", metavar="ADDRESS", type=HPA, help="An address of the host.")
@click.option("--pte", metavar="VALUE", type=PTE, help="Entries of exactly this value.")
@subject_options
@format_option
@revision_option
@click.pass_obj
def find(
    session: Session, pfn: int | None, hpa: int | None, pte: int | None, fmt: Format | None
) -> None:
    """Find what maps a host page, or holds an entry.

    Says which guest addresses lead to the page, which segment owns it, and which memmaps
    cover it though no entry is set. Give one of --pfn, --hpa and --pte.
    """
    from bhyvesim.report.find import find_page

    if sum(value is not None for value in (pfn, hpa, pte)) != 1:
        raise click.UsageError("expected one of --pfn, --hpa and --pte")
    if pte is not None:
        pfn = pfn_of(pte)
    elif hpa is not None:
        pfn = hpa >> PAGE_SHIFT
    assert pfn is not None
    seen = subject(session)
    show(find_page(seen.title, seen.name, seen.machine, pfn, pte), fmt)
