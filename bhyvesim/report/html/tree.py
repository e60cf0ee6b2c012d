"""The page table as a tree that opens and closes by itself, runs of alike tables as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from bhyvesim.kernel.gpt.engine import Gpt
from bhyvesim.kernel.gpt.fold import entry_runs, pages_in
from bhyvesim.kernel.gpt.levels import LEAF_LEVEL, table_span
from bhyvesim.kernel.gpt.rows import NodeRow
from bhyvesim.kernel.pte.format import PteFormat, pfn_of
from bhyvesim.prot import format_prot
from bhyvesim.report.html.markup import Html, tag
from bhyvesim.report.html.parts import left_out, place
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SHIFT, format_size

MAX_CHILDREN = 24  # of one run of tables
MAX_LEAVES = 4  # runs of entries under one run of leaf tables
MAX_ROWS = 300


@dataclass(slots=True)
class _Node:
    row: NodeRow
    children: list[_Node] = field(default_factory=list)
    more: int = 0


def tree(gpt: Gpt, npt: PteFormat, rows: Sequence[NodeRow]) -> Html:
    """The tables *rows*, each before those under it, and their entries."""
    root = _nested(rows)
    if root is None:
        return tag("p", "There are no tables.", class_="quiet")
    return tag("ul", _item(gpt, npt, root), class_="tree")


def _nested(rows: Sequence[NodeRow]) -> _Node | None:
    """*rows* with each under the last one of the level above; what is too many is counted."""
    root: _Node | None = None
    above: dict[int, _Node | None] = {}
    made = 0
    for row in rows:
        parent = above.get(row.level + 1)
        if root is not None and parent is None:
            above[row.level] = None
            continue
        if parent is not None and (len(parent.children) >= MAX_CHILDREN or made >= MAX_ROWS):
            parent.more += 1
            above[row.level] = None
            continue
        node = _Node(row)
        made += 1
        above[row.level] = node
        if parent is None:
            root = node
        else:
            parent.children.append(node)
    return root


def _item(gpt: Gpt, npt: PteFormat, node: _Node) -> Html:
    row = node.row
    span = Span.sized(row.gpa, row.tables * table_span(row.level))
    line = (
        tag("b", f"L{row.level}"),
        " ",
        place(*span),
        f" {row.tables:,} × {format_size(table_span(row.level))}",
        tag("span", f" {row.refcnt:,} references, {row.entries:,} set", class_="quiet"),
    )
    if row.level == LEAF_LEVEL:
        inner = list(_leaf_entries(gpt, npt, span)) if row.entries else []
    else:
        inner = [_item(gpt, npt, child) for child in node.children]
        inner += [tag("li", part) for part in left_out(node.more, "run")]
    if not inner:
        return tag("li", *line, class_="bare")
    whole = tag("details", tag("summary", *line), tag("ul", *inner), open=row.level > 2)
    return tag("li", whole)


def _leaf_entries(gpt: Gpt, npt: PteFormat, span: Span) -> Iterator[Html]:
    runs = entry_runs(gpt, pages_in(span))
    for run in islice(runs, MAX_LEAVES):
        end = run.gpa + (run.npages << PAGE_SHIFT)
        times = f" × {run.times:,}, every 2M" if run.times > 1 else ""
        yield tag(
            "li",
            place(run.gpa, end),
            f" {run.npages:,} pages{times} {format_prot(npt.prot(run.pte))} ",
            tag("span", f"→ {pfn_of(run.pte):#x} {' '.join(npt.flags(run.pte))}", class_="quiet"),
            class_="bare",
        )
    if next(runs, None) is not None:
        yield tag("li", "and more runs", class_="bare quiet")
