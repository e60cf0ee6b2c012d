"""A seventh revision: one file with its row, and everything knows it."""

from __future__ import annotations

import json
import textwrap

import pytest

from bhyvesim import revision_file
from bhyvesim.kernel import revisions

FIXED = "examples/revisions/half_open.py"
FOLDER = "examples/bhyve-tests"

# A kernel that stops in a way of its own: a panic F at the third populate.
SEVENTH = """
from dataclasses import replace
from bhyvesim.kernel.calls import AssertionSite, over
from bhyvesim.kernel.revisions.current_2025 import REVISION as NEWEST, CurrentGpt
from bhyvesim.kernel.revisions.stops import Stop, Told

SITE = AssertionSite("gpt->vgpt_maps < 3", "../../intel/io/vmm/vmm_gpt.c", 700)

class Counting(CurrentGpt):
    made = 0

    def populate_region(self, span):
        self.made += 1
        if self.made == 3:
            with self.kernel.calls(("vmm_gpt_populate_region",), over(span)):
                self.kernel.verify_failed(SITE, (3, "<", 3), {"gpa": span.start})
        super().populate_region(span)

def tell(case):
    start, end = case.span("vmm_gpt_populate_region")
    return Told(["The third memmap was one too many."], {start: "the third"}, "Fixed by nobody.")

REVISION = replace(
    NEWEST, name="seventh", date="2026", summary="cannot count to three", engine=Counting,
    stops=(*NEWEST.stops, Stop("F", "vmm_gpt_populate_region", tell)),
)
"""


@pytest.fixture(autouse=True)
def _own_table(monkeypatch):
    monkeypatch.setattr(revision_file, "_sources", {})
    monkeypatch.delenv(revision_file.VARIABLE, raising=False)
    before = dict(revisions.REVISIONS)
    yield
    revisions.REVISIONS.clear()
    revisions.REVISIONS.update(before)


@pytest.fixture
def seventh(vm_file):
    return vm_file(SEVENTH, "seventh.py")


@pytest.fixture
def forget():
    """As if the program began anew."""

    def call():
        revision_file._sources.clear()
        for name in [n for n, r in revisions.REVISIONS.items() if r.digest]:
            del revisions.REVISIONS[name]

    return call


def test_matrix_run_check_and_explain_know_a_seventh_revision(cli, config, seventh, vm_file):
    option = f"--revision-file={seventh}"
    status, out, _ = cli("matrix", config("testvm"), option, "--gpt", "seventh")
    assert (status, out.count("panic F at create")) == (0, 2)
    scenario = vm_file(
        textwrap.dedent(
            f"""\
            title: three memmaps
            vm: {config("testvm")}
            matrix: {{gpt: all}}
            steps:
              - create:
                expect:
                  - {{when: {{gpt: seventh}}, panic: F}}
                  - {{}}
            """
        ),
        "case.yaml",
    )
    status, out, err = cli("run", scenario, option)
    assert status == 0, (out, err)
    assert "seventh" in out
    assert cli("run", scenario, option, "--jobs", "2").out == out
    status, out, err = cli("create", "--config", config("testvm"), "--gpt", "seventh", option)
    assert (status, "vmm_gpt_populate_region ()" in err) == (3, True)
    status, out, _ = cli("explain", option)
    assert (status, "one too many" in out, "Fixed by nobody." in out) == (0, True, True)
    vm = vm_file("name: x\nkernel: {gpt: seventh}\nmemory: 1G\n")
    status, out, _ = cli("check", vm, option, "--format", "json")
    found = {finding["code"]: finding["message"] for finding in json.loads(out)["findings"]}
    assert (status, found["BV115"].startswith("kernels from seventh on hang")) == (0, True)
    assert "seventh" in cli("--revision-file", seventh, "--version").out


def test_a_stored_vm_remembers_name_and_digest(cli, config, seventh, forget, vm_file):
    option = f"--revision-file={FIXED}"
    vm = config("testvm-13932")
    assert cli("create", "--config", vm, "--gpt", "13932-fixed", option).status == 0
    assert cli("reboot", option).status == 0
    forget()
    for command in (
        ["reboot"],
        ["touch", "--gpa", "0"],
        ["destroy"],
        ["--vm=testvm", "--get-stats"],
    ):
        status, out, err = cli(*command)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "revision '13932-fixed' is not known here" in err
    assert cli("--vm=testvm", "--get-memmap").status == 0
    assert "13932-fixed" in cli("list").out
    with open(FIXED, encoding="utf-8") as file:
        changed = vm_file(file.read() + "\n", "changed.py")
    status, _, err = cli("reboot", f"--revision-file={changed}")
    assert (status, "is another one here" in err) == (2, True)
    status, _, err = cli("destroy", "--force")
    assert (status, "forgot testvm" in err) == (0, True)
    assert cli("list").out == ""


def test_a_dump_remembers_it_too(cli, config, seventh, forget):
    option = f"--revision-file={seventh}"
    assert cli("create", "--config", config("testvm"), "--gpt", "seventh", option).status == 3
    forget()
    status, out, err = cli("crash", "show")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert cli("crash", "show", option).status == 0


def test_the_environment_names_files_for_every_command(cli, config, monkeypatch, seventh):
    monkeypatch.setenv(revision_file.VARIABLE, f"{FIXED}:{seventh}")
    status, out, _ = cli("matrix", config("testvm"), "--gpt", "13932-fixed", "--gpt", "seventh")
    assert (status, out.count("13932-fixed"), out.count("seventh")) == (0, 2, 2)


def test_like_takes_the_expectations_of_another(cli):
    status, out, _ = cli("run", FOLDER, f"--revision-file={FIXED}", "-k", "gpt=13932-fixed")
    assert (status, "FAIL" in out) == (0, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "defines no REVISION: expected a bhyvesim.kernel.revisions.Revision"),
        ("REVISION = 14042\n", "defines no REVISION"),
        ("x = (\n", ":1:5: '(' was never closed: expected Python"),
        ("x = 1\ny = x / 0\n", ":2: ZeroDivisionError: division by zero"),
        ("raise SystemExit(0)\n", ":1: SystemExit: 0"),
        ("import nothing_of_that_name\n", ":1: ModuleNotFoundError"),
        ("\0", "expected Python"),
        (b"\xff\xfe", "expected Python"),
        (
            "from bhyvesim.kernel.revisions.current_2025 import REVISION\n",
            "there is a revision '2025' already: expected a name of its own",
        ),
        (
            "from dataclasses import replace\n"
            "from bhyvesim.kernel.revisions.current_2025 import REVISION as R\n"
            "REVISION = replace(R, name='a b')\n",
            "its name is no word",
        ),
        (
            "from dataclasses import replace\n"
            "from bhyvesim.kernel.revisions.current_2025 import REVISION as R\n"
            "REVISION = replace(R, name='x', engine=int)\n",
            "its engine is no class of page tables",
        ),
    ],
)
def test_a_file_that_is_no_revision(cli, config, vm_file, text, said):
    path = vm_file(text, "bad.py")
    status, out, err = cli("matrix", config("testvm"), f"--revision-file={path}")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"bhyvesim: {path}:")
    assert said in err


def test_a_missing_file(cli, config):
    status, _, err = cli("matrix", config("testvm"), "--revision-file=nothing.py")
    assert (status, err.count("\n")) == (2, 1)


BREAKS = """
from dataclasses import replace
from bhyvesim.kernel.revisions.current_2025 import REVISION as R, CurrentGpt

class Breaks(CurrentGpt):
    def unmap_region(self, span):
        return span.nothing

REVISION = replace(R, name="breaks", engine=Breaks)
"""


@pytest.mark.parametrize("jobs", [[], ["--jobs", "2"]])
def test_an_engine_that_fails_is_named_with_its_line(cli, config, vm_file, jobs):
    path = vm_file(BREAKS, "breaks.py")
    status, _, err = cli("run", FOLDER, f"--revision-file={path}", *jobs, "-k", "gpt=breaks")
    assert status == 2
    assert f"{path}:7: AttributeError: 'Span' object has no attribute 'nothing'" in err


def test_an_engine_that_fails_leaves_the_stored_vm_as_it_was(cli, config, vm_file):
    option = f"--revision-file={vm_file(BREAKS, 'breaks.py')}"
    assert cli("create", "--config", config("testvm"), "--gpt", "breaks", option).status == 0
    status, _, err = cli("reboot", option)
    assert (status, "AttributeError" in err) == (2, True)
    assert cli("--vm=testvm", "--get-memmap").out.count("\n") == 4


TRACKED = "name: m\nmemory: 8M\nbootrom: 0\ntrack_dirty: true\n"


def test_a_migration_from_a_kernel_that_leaks(cli, vm_file):
    text = """
from dataclasses import replace
from bhyvesim.kernel.revisions.current_2025 import REVISION as NEWEST, CurrentGpt

class Leaking(CurrentGpt):
    def vacate_region(self, span):
        pass

REVISION = replace(NEWEST, name="leaking", engine=Leaking)
"""
    own = ("--revision-file", vm_file(text, "leaking.py"))
    cli("create", "--config", vm_file(TRACKED, "m.yaml"), "--gpt=leaking", *own)
    done = cli("migrate", "--to=n", *own)
    assert done.status == 1
    assert "warning: the end of m leaked 6 tables" in done.err
    assert "all arrived" in done.out


def test_a_kernel_that_stops_on_the_way(cli, vm_file):
    """Not the last target's: there is none to dump, and nothing is changed."""
    text = SEVENTH.replace("        self.made += 1", "        Counting.made += 1")
    own = ("--revision-file", vm_file(text, "seventh.py"))
    cli("create", "--config", vm_file(TRACKED, "m.yaml"), "--gpt=seventh", *own)
    done = cli("migrate", "--to=n", "--hops=3", *own)
    assert done.status == 1
    assert "another kernel stopped on the way: assertion failed: gpt->vgpt_maps < 3" in done.err
    vms = json.loads(cli("list", "--format=json").out)["vms"]
    assert [(vm["name"], vm["state"]) for vm in vms] == [("m", "running")]
