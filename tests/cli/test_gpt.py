"""bhyvesim gpt: the table folded into runs, and what its filters leave."""

from __future__ import annotations

import json

import pytest

from bhyvesim import Machine
from bhyvesim.errors import BadValue
from bhyvesim.kernel.gpt.filters import parse_bits, parse_rights
from bhyvesim.kernel.gpt.leaf import build
from bhyvesim.kernel.pte import FORMATS
from bhyvesim.kernel.pte.format import bit_names
from bhyvesim.report.find import find_page
from bhyvesim.report.leaks import leaks_page
from bhyvesim.report.tables import Wanted, tree_page, tree_rows
from bhyvesim.report.walk import walk_page
from bhyvesim.span import Span, parse_span


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


def test_a_name_from_elsewhere_is_shown_escaped():
    vm = Machine("2025")
    vm.alloc_memseg(0, 0x200000, "\x1b[31m\n")
    vm.mmap_memseg(0, 0, 0, 0x200000, 7, wired=True)
    pages = (
        tree_page("x", "x", vm, Wanted(), "tree"),
        walk_page("x", "x", vm, 0),
        find_page("x", "x", vm, 0x100000, None),
        leaks_page("x", "x", vm)[0],
    )
    for page in pages:
        for text in (page.plain(None), page.plain(80)):
            assert ("\\e[31m\\n" in text, "\x1b" in text) == (True, False)
