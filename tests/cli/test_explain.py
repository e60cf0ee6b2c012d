"""bhyvesim explain: the cause, with the numbers of the case."""

from __future__ import annotations

import pytest

from bhyvesim.lint.rules import RULES


def test_the_bug_of_the_report(cli, config, golden):
    cli("create", "--config", config("testvm-13932"))
    cli("reboot")
    golden("explain-14042.txt", cli("explain").out)


def test_other_numbers_make_another_text(cli, vm_file):
    text = (
        "name: x\nkernel: {gpt: 13932}\n"
        "segments: [{id: 0, name: rom, size: 4M}, {id: 1, size: 4M, host_pfn: 0x5000}]\n"
        "mappings: [{gpa: 1G, segment: 0, len: 4M}, {gpa: 1028M, segment: 1, len: 4M}]\n"
    )
    cli("create", "--config", vm_file(text))
    assert cli("reboot").status == 3
    out = cli("explain").out
    assert "vm_map_remove was asked to unmap [0x40000000, 0x40400000) (rom [" in out
    assert "entry of page\n0x40400000, which belongs to sysmem [0x40400000, 0x40800000)" in out
    assert "Entry 1 was 0x5001067: PFN 0x5001, present writable user accessed dirty." in out
    assert "Fixed in 14042" in out


@pytest.mark.parametrize("gpt", ["14042", "13896"])
def test_a_shared_leaf(cli, vm_file, gpt):
    text = (
        f"name: x\nkernel: {{gpt: {gpt}}}\nsegments: [{{id: 0, size: 2M}}]\n"
        "mappings: [{gpa: 0, segment: 0, len: 1M}, {gpa: 1M, segment: 0, offset: 1M, len: 1M}]\n"
    )
    cli("create", "--config", vm_file(text))
    assert cli("destroy").status == 3
    out = cli("explain", "1").out
    assert "The leaf table over [0x0, 0x200000) is used by sysmem [0x100000, 0x200000)" in out
    assert "Entry 256 was" in out
    assert "Fixed in 14367" in out


def test_a_hole(cli, vm_file, golden):
    cli("create", "--config", vm_file("name: x\nmemory: 1M\nkernel: {gpt: 13896}\n"))
    assert cli("touch", "--gpa", "1028K").status == 1  # a vCPU: MMIO
    assert cli("touch", "--gpa", "1028K", "--by", "device").status == 3
    golden("explain-hole.txt", cli("explain", "--vm", "x").out)


def test_the_line_and_the_table_added_twice(cli, vm_file, golden):
    cli("create", "--config", vm_file("name: x\nmemory: 1T\nkernel: {gpt: 15844}\n"))
    golden("explain-line.txt", cli("explain").out)
    text = (
        "name: y\nkernel: {gpt: 15844}\nsegments: [{id: 0, size: 2M}]\nmappings:\n"
        "  - {gpa: 0x8000001000, segment: 0, len: 4K}\n"
        "  - {gpa: 0x7ffffff000, segment: 0, len: 8K}\n"
    )
    cli("create", "--config", vm_file(text))
    assert "is not found, and is added a second time" in cli("explain").out


@pytest.mark.parametrize(("second", "gap"), [("4K", False), ("8K", True), ("1M", True)])
def test_a_picture_shows_where_addresses_are_left_out(cli, vm_file, second, gap):
    text = (
        "name: x\nkernel: {gpt: 14042}\nsegments: [{id: 0, size: 2M}]\nmappings: "
        f"[{{gpa: 0, segment: 0, len: 4K}}, {{gpa: {second}, segment: 0, offset: 1M, len: 4K}}]\n"
    )
    cli("create", "--config", vm_file(text))
    assert cli("destroy").status == 3
    lines = [line.split() for line in cli("explain").out.splitlines()]
    first = next(i for i, words in enumerate(lines) if words[:2] == ["0x0", "|"])
    assert (lines[first + 1] == [":"]) == gap


def test_without_a_number_the_last_dump_counts(cli, vm_file):
    """Of the VM that is named, or of all."""
    text = "name: x\nmemory: 1M\nkernel: {gpt: 13896}\n"
    for number, (name, gpa) in enumerate([("x", "1028K"), ("y", "1040K")] * 2, start=1):
        cli("create", "--replace", "--config", vm_file(text), "--vm", name)
        assert cli("touch", "--vm", name, "--gpa", gpa, "--by", "device").status == 3
        assert cli("explain", "--vm", name).out.startswith(f"crash {number}: {name} panicked")
        assert cli("explain").out.startswith(f"crash {number}: {name} panicked")
    assert cli("explain", "--vm", "x").out.startswith("crash 3: x panicked")


def test_codes_and_revisions(cli):
    for code, rule in RULES.items():
        head, _, why = cli("explain", code.lower()).out.partition("\n\n")
        assert head == f"{code} ({rule.name}): {rule.summary}"
        assert " ".join(why.split()) == rule.why
    assert "closed ranges" in cli("explain", "revision-13932").out


def test_nothing_to_explain(cli, config):
    assert cli("explain").status == 1
    assert cli("explain", "9").status == 1
    assert cli("explain", "BV999").status == 2
    cli("create", "--config", config("testvm-13932"))
    cli("reboot")
    assert cli("explain", "--vm", "other").status == 2


def test_a_page_that_may_not_be_read(cli, vm_file):
    text = (
        "name: x\nkernel: {gpt: 14042}\nsegments: [{id: 0, size: 2M}]\n"
        "mappings: [{gpa: 2M, segment: 0, len: 2M, prot: w, wired: WIRED}]\n"
    )
    assert cli("create", "--config", vm_file(text.replace("WIRED", "false"))).status == 3
    out = cli("explain").out
    assert "Page 0x200000 of a memmap without R was touched for the first time" in out
    assert "Fixed in 13896" in out
    wired = vm_file(text.replace("WIRED", "true"))
    assert cli("create", "--config", wired, "--vm", "y").status == 3
    assert "A memmap without R wires its pages." in cli("explain").out


def test_a_hole_that_a_mapping_holds(cli, vm_file):
    cli("create", "--config", vm_file("name: x\ncpu: intel\nmemory: 2G\nkernel: {gpt: 13896}\n"))
    assert cli("hold", "--gpa", "0xfee01000").status == 3
    out = cli("explain").out
    assert "A mapping of guest space asked for a hold of page 0xfee01000" in out
    assert "exists all the same, for APIC access page [0xfee00000, 0xfee01000)" in out


def _shown():
    """Every word that the records and the tables know."""
    from bhyvesim.errors import ERRNOS
    from bhyvesim.explore.causes import KINDS as OF_EXPLORE
    from bhyvesim.kernel.look.fsck import KINDS as OF_FSCK
    from bhyvesim.kernel.revisions import REVISIONS, panics
    from bhyvesim.report import bisect, findings, imports, lifecycle, verdicts, vms
    from bhyvesim.report.fsck import Fsck
    from bhyvesim.scenario.bisect import NOT_THERE

    assert Fsck  # fsck prints kinds as they are
    yield from (*RULES, *(rule.name for rule in RULES.values()), *REVISIONS, *panics())
    yield from (*ERRNOS, *OF_EXPLORE, *OF_FSCK, NOT_THERE, "FAIL")
    for annotated in (
        *(verdicts.VerdictWord, verdicts.Change, vms.State, lifecycle.Fault, bisect.Event),
        *(findings.SeverityWord, imports.Verdict),
    ):
        yield from annotated.__metadata__[0].words


@pytest.mark.parametrize("word", sorted(set(_shown())))
def test_every_word_that_is_shown_is_explained(cli, word):
    status, out, err = cli("explain", word)
    assert (status, err) == (0, "")
    assert len(out) > len(word) + 10
    assert cli("explain", word.lower()).out == out


def test_letters_and_bugs_and_what_matrix_names(cli, config, vm_file):
    assert cli("explain", "A").out.startswith("panic A (")
    assert "vmm_gpt_vacate_entry" in cli("explain", "A").out
    assert cli("explain", "panic A") == cli("explain", "A")
    assert "boot ROM" in " ".join(cli("explain", "14042").out.split())
    _, _, err = cli("matrix", config("testvm"))
    assert err.endswith("'explain A', 'explain lost', 'explain drift'\n")
    harmless = vm_file("name: x\nmemory: 2G\n")
    assert "explain A" not in cli("matrix", harmless, "--gpt", "14042").err
    assert cli("matrix", config("testvm"), "-q").err == ""


def test_a_revision_wins_over_a_crash_of_its_number(cli, config, tmp_path):
    cli("create", config("testvm-13932"))
    assert cli("reboot").status == 3
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(tmp_path / "state" / "state.sqlite3")) as db, db:
        db.execute("UPDATE crash SET id = 14042")
    told = cli("explain", "14042").out
    assert told.startswith("revision 14042")
    assert "\n\nKnown: panic A, panic E.\n" in told
    assert "\\" not in told
    assert cli("explain", "crash:14042").out.startswith("crash 14042: testvm panicked")


@pytest.mark.parametrize(
    "word", ["²", "١", "crash:²", "crash:", "crash:x", "9" * 30, "1" * 5000, "lsot", "", "\x1b[31m"]
)
def test_what_cannot_be_explained_is_one_line(cli, word):
    status, out, err = cli("explain", word)
    assert (status, out, err.count("\n")) == (1 if word == "9" * 30 else 2, "", 1)
    assert err.startswith("bhyvesim: ")
    assert "\x1b" not in err
    assert len(err) < 300
    assert ("did you mean 'lost'?" in err) == (word == "lsot")


@pytest.mark.parametrize("word", ["²", "9" * 30, "crash:²"])
def test_numbers_that_are_none_elsewhere(cli, word):
    for argv in (("crash", "show"), ("gpt", "--crash"), ("crash", "rm"), ("release",)):
        status, out, err = cli(*argv, word)
        assert (status in (1, 2), out, err.count("\n")) == (True, "", 1), argv


def test_only_digits_of_ascii_are_an_id(cli, config):
    cli("create", config("testvm-13932"))
    cli("reboot")
    cli("destroy")
    for word in ("١", "+1", "-1"):
        assert cli("crash", "rm", "--", word).status == 2
    assert cli("crash", "rm", "1").status == 0
