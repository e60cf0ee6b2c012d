"""The report as a page: what it holds, that text stays text, and how large it may become."""

from __future__ import annotations

import json
import random
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bhyvesim import Machine
from bhyvesim.kernel.look.areas import areas
from bhyvesim.report.html.data import document
from bhyvesim.report.html.drawing import entries_of, scale
from bhyvesim.report.html.markup import script_json, tag
from bhyvesim.report.html.page import page
from bhyvesim.report.html.stretches import Stretch, Stretches
from tests.conftest import ROOT
from tests.property.machines import machines, pages_of

PAGE = 4096
MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40
CSS = ROOT / "bhyvesim" / "report" / "html" / "assets" / "page.css"
NASTY = "<img src=x onerror=alert(1)>"
NASTY_FILE = f"""
name: "{NASTY}"
kernel: {{gpt: "15844"}}
cpu: amd
segments:
  - {{id: 0, size: 4M}}
  - {{id: 1, name: "<script>alert(2)<!--&amp;", size: 16K}}
mappings:
  - {{gpa: 0, segment: 0, len: 4M, prot: rwx}}
  - {{gpa: 0xffffc000, segment: 1, len: 16K, prot: r-x}}
"""


class Read(HTMLParser):
    """The elements, the text outside of scripts and styles, and the scripts of a page."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.text, self.scripts, self.attributes = [], "", [], []
        self._open = ""
        self.feed(text)

    def handle_starttag(self, name, attributes):
        self.tags.append(name)
        self.attributes += attributes
        self._open = name

    def handle_endtag(self, name):
        self._open = ""

    def handle_data(self, data):
        if self._open == "script":
            self.scripts.append(data)
        elif self._open != "style":
            self.text += data

    @property
    def data(self):
        return json.loads(self.scripts[0])


@pytest.fixture
def report(cli, tmp_path):
    """Write a report; what is in it."""

    def write(*argv):
        path = tmp_path / "report.html"
        status, out, err = cli("report", "-o", path, *argv)
        assert (status, out) == (0, ""), err
        return Read(path.read_text(encoding="utf-8"))

    return write


def test_the_panic_of_the_report(cli, config, report):
    cli("create", "--config", config("testvm-13932"))
    cli("reboot")
    read = report()
    assert "testvm panicked during reboot on 13932 DEBUG" in read.text
    assert "panic[cpu" in read.text
    assert "vmm:vmm_gpt_vacate_entry+8b ()" in read.text
    assert "Fixed in 14042, which takes the end as exclusive." in read.text
    assert "They part at event 2 step 1 (reinit)." in read.text
    assert [mark[0] for mark in read.data["marks"]] == [
        0xFFE00000,
        0xFFFFF000,
        0x100000000,
        0x100001000,
    ]
    gone = [row[:2] for row in read.data["steps"]["2.1"] if row[2:] == ["entries", "went"]]
    assert gone == [[0xFFE00000, 0x100000000], [0x100000000, 0x100001000]]


def test_what_a_script_draws_is_there_without_one(cli, config, report):
    cli("create", "--config", config("testvm"))
    text = report().text
    for words in ("0xffe00000", "bootrom ends, sysmem begins", "1.2 create: boot", "L4", "rwx AD"):
        assert words in text


@pytest.mark.parametrize("which", ["1", "./the.dump"])
def test_a_crash_by_its_id_has_a_past_and_a_file_has_none(
    cli, config, report, which, tmp_path, monkeypatch
):
    cli("create", "--config", config("testvm-13932"))
    cli("reboot")
    if which != "1":
        from bhyvesim.crash.codec import encode
        from bhyvesim.store.dumps import read_crash
        from bhyvesim.store.store import Store

        with Store().reading() as transaction:
            dump = read_crash(transaction, transaction.crash(1))
        (tmp_path / "the.dump").write_bytes(encode(dump))
        monkeypatch.chdir(tmp_path)
    read = report("--crash", which)
    assert len(read.data["steps"]) == (3 if which == "1" else 0)
    assert ("history of this VM is not stored" in read.text) == (which != "1")


def test_a_moment_has_the_steps_up_to_it(cli, config, report):
    cli("create", "--config", config("testvm"))
    cli("reboot")
    read = report("--at", "2.1")
    assert list(read.data["steps"]) == ["1.1", "1.2", "2.1"]
    assert "event 2 step 1 (reinit)" in read.text
    assert [area["name"] for area in read.data["areas"]] == ["sysmem", "sysmem"]


def test_a_history_without_its_beginning_says_so(cli, config, report):
    from bhyvesim.host.history import History
    from bhyvesim.store.store import Store

    cli("create", "--config", config("testvm"))
    cli("reboot")
    History(Store(), "testvm").prune(1)
    assert "history does not begin with its create" in report().text


def test_names_are_text(cli, vm_file, report):
    cli("create", "--config", vm_file(NASTY_FILE))
    read = report()
    assert f"{NASTY} is running" in read.text
    assert "<script>alert(2)<!--&amp;" in read.text
    assert "img" not in read.tags
    assert read.tags.count("script") == 2
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    assert read.data["areas"][1]["name"] == "<script>alert(2)<!--&amp;"


@given(st.text())
def test_json_in_a_script_ends_no_script(text):
    made = script_json({text: text})
    assert not set(made) & set("<>&\u2028\u2029")
    assert json.loads(made) == {text: text}


@given(st.text())
def test_what_is_in_an_element_is_text(text):
    read = Read(tag("p", text, title=text))
    assert read.tags == ["p"]


def test_nothing_is_loaded(cli, config, report, tmp_path):
    cli("create", "--config", config("testvm"))
    read = report()
    for name, value in read.attributes:
        if name in ("src", "href"):
            assert value.startswith(("#", "data:")), value
    policy = next(value for _, value in read.attributes if value and "default-src" in value)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")


def test_a_guest_of_32_tib_is_a_small_page():
    vm = Machine("2025")
    vm.alloc_memseg(0, 32 * TIB)
    vm.mmap_memseg(0, 0, 0, 3 * GIB, 7)
    vm.mmap_memseg(4 * GIB, 0, 3 * GIB, 32 * TIB - 3 * GIB, 7)
    vm.access(4 * GIB, (32 * TIB - 3 * GIB) >> 12, 2)
    assert len(page(document("big", "running", vm))) < 100_000


def test_a_fragmented_guest_is_bounded_and_counts_all():
    vm = Machine("13932")
    vm.alloc_memseg(0, 64 * GIB)
    vm.mmap_memseg(0, 0, 0, 64 * GIB, 7)
    source = random.Random(14042)
    for _ in range(40_000):
        vm.access(source.randrange(64 * GIB >> 12) << 12, 1, source.choice((1, 2)))
    made = document("frag", "running", vm)
    assert made.entries.pages == sum(row.held for row in made.entries.stretches)
    assert made.entries.pages == vm.space.gpt.resident
    text = page(made)
    assert len(text) < 400_000
    assert "more rows not shown" in text


def test_many_steps_are_bounded(cli, vm_file, report):
    cli("create", "--config", vm_file(f"{NASTY_FILE}touch: []\n"))
    for at in range(70):
        cli("touch", "--gpa", at * PAGE, "--access", "w")
    read = report()
    assert len(read.data["steps"]) == 60
    assert "11 more earlier events not shown." in read.text


@given(machines)
def test_stretches_have_every_entry_once(vm):
    entries = entries_of(vm, 10)
    there = pages_of(vm)
    assert entries.pages == len(there) == sum(row.held for row in entries.stretches)
    for page_number in there:
        assert any(row.start <= page_number << 12 < row.end for row in entries.stretches)


@given(machines)
def test_the_scale_has_every_address_once(vm):
    pieces = scale(areas(vm), entries_of(vm, 0).stretches, ())
    assert pieces[0].start == 0
    assert all(one.end == other.start for one, other in pairwise(pieces))
    assert all(piece.start < piece.end and piece.width > 0 for piece in pieces)
    assert sum(piece.width for piece in pieces) == pytest.approx(1)


@given(st.lists(st.tuples(st.integers(0, 9 * MIB), st.integers(1, MIB)), max_size=60))
def test_there_are_never_more_stretches_than_allowed(runs):
    made = Stretches(5)
    for gap, (start, length) in enumerate(sorted(runs)):
        made.add(Stretch(start + gap, start + gap + length, 1, 0, "x"))
    assert len(made.rows) <= 5
    assert sum(row.held for row in made.rows) == len(runs)


def test_the_file_is_replaced_whole(cli, config, tmp_path):
    cli("create", "--config", config("testvm"))
    path = tmp_path / "report.html"
    path.write_text("before")
    assert cli("report", "-o", path).status == 0
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ""] == ["report.html"]
    status, out, err = cli("report", "-o", tmp_path / "no" / "x.html")
    assert (status, out, err.count("\n")) == (2, "", 1)


def test_at_together_with_crash_is_refused(cli, tmp_path):
    status, _, err = cli("report", "-o", tmp_path / "x.html", "--at", "1", "--crash", "1")
    assert status == 2
    assert "--at together with --crash" in err


def _luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("theme", [0, 1, 2])
def test_text_is_legible(theme):
    """WCAG 2.2, 1.4.3 (AA): 4.5 to 1; and 1.4.11 for what is drawn: 3 to 1."""
    blocks = re.findall(r":root[^{]*\{([^}]*)\}", CSS.read_text(encoding="utf-8"))
    colours = dict(re.findall(r"--([\w-]+): (#\w{6});", blocks[theme]))

    def contrast(one, other):
        dark, light = sorted((_luminance(colours[one]), _luminance(colours[other])))
        return (light + 0.05) / (dark + 0.05)

    segments = [name for name in colours if name.startswith("segment-")]
    sheets = ["paper", "sheet", "bad-tint", "good-tint", *segments]
    assert all(contrast("ink", sheet) >= 4.5 for sheet in sheets)
    for text in ("quiet", "link", "bad", "good"):
        assert all(contrast(text, sheet) >= 4.5 for sheet in ("paper", "sheet"))
    assert contrast("bad", "bad-tint") >= 4.5
    for drawn in ("present", "dirty", "table", "good", "bad", "focus"):
        assert contrast(drawn, "sheet") >= 3, drawn


def test_a_vm_without_memory_and_one_that_hung_have_reports(cli, config, report):
    cli("--create", "--vm=empty")
    assert "Nothing is mapped, so there are none." in report("--vm", "empty").text
    cli("create", "--config", config("intel-bhyve"), "--gpt", "13896", "--vm", "guest")
    cli("hold", "--vm", "guest", "--gpa", "0")
    assert cli("reboot", "--vm", "guest").status == 3
    read = report("--vm", "guest")
    assert "guest hung during reboot on 13896 DEBUG" in read.text
    assert "Fixed in no revision that bhyvesim knows" in read.text
    assert read.data["marks"] == [[0, "held"], [0xFEE00000, "to be unmapped; no page is yet"]]


def test_a_stretch_reaches_as_far_as_the_furthest_of_what_is_in_it():
    stretches = Stretches(10)
    for start, end in ((0, 0x9000), (0x1000, 0x2000), (0x8000, 0xA000), (0xA000, 0xB000)):
        stretches.add(Stretch(start, end, 1, 0, "k"))
    assert [(row.start, row.end, row.held) for row in stretches.rows] == [
        (0, 0xA000, 3),
        (0xA000, 0xB000, 1),
    ]
