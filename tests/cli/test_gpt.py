"""bhyvesim gpt: the table folded into runs, and what its filters leave."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bhyvesim import Machine
from bhyvesim.errors import BadValue
from bhyvesim.kernel.gpt.filters import EntryFilter, parse_bits, parse_rights
from bhyvesim.kernel.gpt.fold import entry_runs, pages_in, table_runs
from bhyvesim.kernel.gpt.leaf import build
from bhyvesim.kernel.gpt.levels import table_span
from bhyvesim.kernel.gpt.rows import NodeRow
from bhyvesim.kernel.pte import FORMATS
from bhyvesim.kernel.pte.format import bit_names
from bhyvesim.report.tables import Wanted, tree_page, tree_rows
from bhyvesim.span import Span, parse_span
from tests.machines import EDGES, LEAF, PAGE, machines, pages_of

spans = st.one_of(
    st.just(Span(0, 1 << 48)),
    st.builds(
        lambda edge, at, length: Span.sized(max(0, edge + at), length),
        st.sampled_from(EDGES),
        st.integers(-3 * PAGE, 3 * LEAF),
        st.integers(1, 3 * LEAF),
    ),
)


def expanded(runs):
    """Runs of entries, page by page."""
    found = {}
    for run in runs:
        for time in range(run.times):
            for i in range(run.npages):
                page = run.page + time * 512 + i
                assert page not in found
                found[page] = run.cls + (page << 12)
    return found


@settings(max_examples=150, deadline=None)
@given(machines, spans, st.integers(0, 7), st.booleans(), st.data())
def test_entries_with_filters_are_the_dump_filtered(vm, span, prot, exactly, data):
    names = st.sets(st.sampled_from(bit_names(vm.npt)), max_size=2)
    has, lacks = (frozenset(data.draw(names)) for _ in range(2))
    picked = EntryFilter(has, lacks, prot, exactly)
    runs = entry_runs(vm.space.gpt, pages_in(span), lambda cls: picked.picks(vm.npt, cls))
    naive = {
        page: pte
        for page, pte in pages_of(vm).items()
        if span.start < (page + 1) * PAGE and page * PAGE < span.end
        if has <= set(vm.npt.flags(pte)) and not lacks & set(vm.npt.flags(pte))
        if (vm.npt.prot(pte) == prot if exactly else not prot & ~vm.npt.prot(pte))
    }
    assert expanded(runs) == naive


@settings(max_examples=100, deadline=None)
@given(machines, spans, st.none() | st.integers(1, 4))
def test_tables_are_those_of_the_dump(vm, span, level):
    def one_by_one(rows):
        return sorted(
            (rank, gpa + i * table_span(rank), refcnt, entries)
            for rank, gpa, tables, refcnt, entries in rows
            for i in range(tables)
        )

    naive = [
        row
        for row in one_by_one(vm.dump()["nodes"])
        if level in (None, row[0])
        and row[1] < span.end
        and span.start < row[1] + table_span(row[0])
    ]
    assert one_by_one(table_runs(vm.space.gpt, span, level)) == naive


@settings(max_examples=100, deadline=None)
@given(machines)
def test_what_follows_a_row_lies_under_it(vm):
    """A tree: above each row, the last one of the level above covers it whole."""
    last = {}
    for row in tree_rows(vm, Wanted()):
        is_table = isinstance(row, NodeRow)
        level = row.level if is_table else 0
        end = row.gpa + (row.tables * table_span(level) if is_table else row.npages * PAGE)
        if level < 4:
            above = last[level + 1]
            assert above.gpa <= row.gpa
            assert end <= above.gpa + above.tables * table_span(level + 1)
        last[level] = row
    rows = tree_rows(vm, Wanted())
    assert expanded(row for row in rows if not isinstance(row, NodeRow)) == pages_of(vm)


def test_alike_leaves_are_one_row_and_cost_one():
    vm = Machine("2025")
    vm.alloc_memseg(0, 32 << 40)
    vm.mmap_memseg(0, 0, 0, 32 << 40, 7)
    vm.space.gpt.leaves.assign(0, 16 << 20, build(512, {0x100000067: 0b11010}))
    rows = tree_rows(vm, Wanted())
    assert len(rows) == 6
    assert [(r.npages, r.times) for r in rows[4:]] == [(1, 16 << 20), (2, 16 << 20)]
    text = tree_page("x", "x", vm, Wanted(), "tree").plain(60)
    assert "    0x3000   8K x16777216  rwx AD    -> 0x100003  sysmem\n" in text


def test_the_tree_of_a_guest(cli, config, monkeypatch):
    cli("create", "--config", config("testvm"))
    monkeypatch.setenv("COLUMNS", "60")
    lines = cli("gpt", "--format=tree").out.splitlines()
    assert lines[0] == "testvm: running, kernel 14042 DEBUG, RVI"
    assert lines[1].split() == ["L4", "0x0", "1", "x", "256T", "refs", "1", "1", "set"]
    assert lines[4:6] == [
        "   L1 0x0          1536 x 2M  refs 0    512 set",
        "    0x0                   3G  rwx AD    -> 0x100000  sysmem",
    ]
    assert len(lines) == 12
    document = json.loads(cli("gpt", "--level=1", "--range=3G-4G", "--format=json").out)
    assert document["tables"] == [
        {"level": 1, "gpa": 0xFFE00000, "tables": 1, "refcnt": 0, "entries": 512}
    ]
    (rom,) = document["entries"]
    assert (rom["gpa"], rom["pages"], rom["times"], rom["prot"]) == (0xFFE00000, 512, 1, "r-x")
    assert rom["flags"] == ["present", "user", "accessed"]


def test_a_limit_says_how_many_more(cli, config):
    cli("create", "--config", config("testvm"))
    out = cli("gpt", "--format=tree", "--limit=3").out.splitlines()
    assert (len(out), out[-1]) == (5, "8 more rows: --limit says how many to show")
    document = json.loads(cli("gpt", "--format=json", "--limit=4").out)
    assert (len(document["tables"]), len(document["entries"]), document["more"]) == (4, 0, 7)
    assert json.loads(cli("gpt", "--format=json").out)["more"] == 0


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("fmt", ["tree", "table"])
@pytest.mark.parametrize("name", ["testvm", "segments", "intel-bhyve"])
def test_it_fits(cli, config, monkeypatch, columns, fmt, name):
    monkeypatch.setenv("COLUMNS", str(columns))
    cli("create", "--config", config(name))
    for argv in ([], ["--has=!dirty"], ["--level=2"], ["--prot=rw-"], ["--range=3G+1G"]):
        lines = cli("gpt", f"--format={fmt}", *argv).out.splitlines()
        assert lines
        assert max(map(len, lines)) <= columns
        assert not any(line.endswith(" ") for line in lines)


def test_piped_a_row_is_a_line(cli, config, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    cli("create", "--config", config("testvm"))
    lines = cli("gpt").out.splitlines()
    assert (len(lines), lines[0].split()[0]) == (12, "LEVEL")
    assert cli("gpt", "--range=3G+1M").out.count("\n") == 4  # the tables on the way, no page
    assert cli("gpt", "--range=2T-3T", "--level=2").out == ""


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--has=accessed,drity"], ["did you mean dirty?", "(character 10)"]),
        (["--has=accessed,!wibble"], ["'wibble' is no bit", "(character 11)", "present, writable"]),
        (["--has="], ["no name of a bit (character 1)"]),
        (["--has=dirty,"], ["no name of a bit (character 7)"]),
        (["--has=dirty,!dirty"], ["both set and clear (character 7)"]),
        (["--prot=rq"], ["'q' in a protection (character 2)", "such as rw"]),
        (["--prot=r-w"], ["a dash out of place (character 2)", "such as r-x"]),
        (["--prot="], ["not a protection"]),
        (["--prot=---"], ["not a protection"]),
        (["--range=4G"], ["not a range: expected A-B or A+LEN"]),
        (["--range=4G-x"], ["'x' is not an address (character 4)"]),
        (["--range=4G+x"], ["'x' is not a size (character 4)"]),
        (["--range=-4G"], ["(character 1)"]),
        (["--range=4G-4G"], ["expected an end above 0x100000000"]),
        (["--range=4G+0"], ["expected an end above 0x100000000"]),
        (["--range=1+0xffffffffffffffff"], []),
        (["--range=2+0xffffffffffffffff"], ["not above 2^64"]),
        (["--level=5"], ["1<=x<=4"]),
        (["--level=2", "--prot=r"], ["expected --level 1"]),
        (["--limit=0"], ["x>=1"]),
    ],
)
def test_mistakes_say_where_and_what(cli, config, argv, told):
    cli("create", "--config", config("testvm"))
    status, out, err = cli("gpt", *argv)
    if told:
        assert (status, out, err.count("\n")) == (2, "", 1)
    for words in told:
        assert words in err


@pytest.mark.parametrize("npt", FORMATS.values(), ids=FORMATS)
def test_every_name_of_a_bit_can_be_asked_for(npt):
    names = bit_names(npt)
    assert len(names) == len(set(names)) == 6
    assert parse_bits(" ! Dirty , accessed", names) == (
        frozenset({"accessed"}),
        frozenset({"dirty"}),
    )


def test_rights_and_ranges():
    assert parse_rights("rw") == (3, False)
    assert parse_rights("rwx") == (7, False)
    assert parse_rights("r-X") == (5, True)
    assert parse_span("0xffe00000+2M") == Span(0xFFE00000, 1 << 32)
    assert parse_span("3G-4G") == Span(3 << 30, 4 << 30)
    with pytest.raises(BadValue):
        parse_span("")
