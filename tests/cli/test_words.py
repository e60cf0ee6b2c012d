"""Commands as everyone types them: words where options also do, flags anywhere."""

from __future__ import annotations

import json

import click
import pytest

from bhyvesim.cli.root import root
from tools.commands import all_commands

SMALL = "name: x\nmemory: 16M\nkernel: {gpt: '14042'}\n"
# What takes no VM for its argument: the rest of those with --vm do.
WITHOUT_NAME = {
    *("create", "destroy", "diff", "explain", "trace", "check", "matrix", "import", "import-crash"),
    *("explore", "lockstep", "prove", "identify", "bisect", "record"),
}


@pytest.fixture
def two(cli, vm_file):
    """Two VMs, x and y."""
    path = vm_file(SMALL)
    assert cli("create", path).status == 0
    assert cli("create", "--config", path, "--vm", "y").status == 0
    return path


def test_a_file_without_config(cli, vm_file):
    path = vm_file(SMALL)
    assert cli("create", path).status == 0
    assert cli("create", path, "--config", path, "--replace").status == 0
    status, _, err = cli("create", path, "--config", "other.yaml")
    assert (status, "together with another --config" in err) == (2, True)
    status, _, err = cli("create")
    assert (status, "missing FILE" in err) == (2, True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("reboot",), ()),
        (("touch",), ("--gpa", "0x1000")),
        (("hold",), ("--gpa", "0x1000")),
        (("alloc-memseg",), ("3", "--size", "2M")),
        (("unmap",), ("--gpa", "0", "--len", "16M")),
        (("peek",), ("--gpa", "0x1000")),
        (("poke",), ("--gpa", "0x1000", "--value", "1")),
        (("fill",), ("--gpa", "0x1000", "--len", "8")),
        (("track-dirty",), ("--gpa", "0", "--len", "4K")),
        (("walk",), ("0x1000",)),
        (("why",), ("0x1000",)),
        (("gpt",), ()),
        (("find",), ("--pfn", "1")),
        (("leaks",), ()),
        (("fsck",), ()),
        (("log",), ()),
        (("undo",), ()),
        (("pause",), ()),
        (("resume",), ()),
        (("migrate",), ("--to", "z", "--keep")),
        (("trace", "-n", "::vm_map_remove:entry", "reboot"), ()),
    ],
)
def test_a_name_without_vm(cli, two, before, after):
    command = next(word for word in before if word != "trace")
    assert cli(*before, *after).status == 2  # which of the two?
    named = cli(*before, "y", *after)
    with_option = cli("--vm=y", *before, *after)
    assert named.status in (0, 1), named.err
    assert "which VM" not in named.err
    if command in ("walk", "gpt", "find", "leaks", "fsck", "log"):
        assert named == with_option
    assert cli(*before, "y", "--vm", "y", *after).status in (0, 1)
    status, _, err = cli(*before, "x", "--vm", "y", *after)
    assert (status, "expected one VM" in err) == (2, True)


def test_every_command_with_vm_takes_a_name():
    for path, ctx in all_commands():
        name = path.removeprefix("bhyvesim ")
        params = ctx.command.params
        if any("--vm" in param.opts for param in params) and name not in WITHOUT_NAME | {path}:
            first = next(param for param in params if isinstance(param, click.Argument))
            assert first.metavar == "[NAME]", path


def test_one_vm_too_many(cli, two):
    status, _, err = cli("reboot", "x", "y")
    assert (status, "one VM too many: 'y'" in err) == (2, True)


def test_several_are_destroyed_or_none(cli, two):
    status, _, err = cli("destroy", "x", "nobody")
    assert (status, "no VM named nobody" in err) == (1, True)
    assert cli("list").out.count("running") == 2
    assert cli("destroy", "x", "--all").status == 2
    assert cli("destroy", "x", "--vm", "y").status == 2
    assert cli("destroy", "x", "y", "x").status == 0
    assert cli("list").out == ""


@pytest.mark.parametrize("form", [("--format", "json"), ("--format=json",)])
@pytest.mark.parametrize("command", [("list",), ("crash", "list"), ("log", "y"), ("gpt", "y")])
def test_the_format_before_the_command(cli, two, form, command):
    before = cli(*form, *command)
    assert before == cli(*command, *form)
    json.loads(before.out)
    assert cli("--format=json", *command, "--format", "plain") == cli(*command)


def test_a_format_that_a_command_has_not(cli, two):
    status, _, err = cli("--format=sarif", "list")
    assert (status, "'plain', 'table', 'json'" in err) == (2, True)
    assert cli("--format=sarif", "check", two).out.startswith("{")
    status, _, err = cli("--format=json", "undo", "x")
    assert (status, "undo has no --format" in err) == (2, True)
    assert json.loads(cli("--format=json", "--vm=x", "--get-memmap").out)["memmap"]


@pytest.mark.parametrize("flag", ["-q", "--quiet"])
def test_quiet_anywhere(cli, two, flag):
    for argv in (
        (flag, "reboot", "x"),
        ("reboot", flag, "x"),
        ("reboot", "x", flag),
        (flag, "--vm=x", "--force-reset"),
        ("--vm=x", "--force-reset", flag),
        ("--vm=y", "--destroy", flag),
    ):
        assert cli(*argv) == (0, "", "")


@pytest.mark.parametrize("flag", ["-v", "--verbose"])
def test_verbose_anywhere_says_more(cli, two, flag, tmp_path):
    state = f"bhyvesim: the state is {tmp_path}/state/state.sqlite3\n"
    for argv in (("list",), ("crash", "list"), ("--vm=x", "--get-memmap"), ("leaks", "x")):
        assert cli(*argv).err == ""
        assert cli(flag, *argv).err == state
        assert cli(*argv, flag).err == state
    cli("destroy", "x")
    assert "y is meant, the only VM there is" in cli("leaks", flag).err


def test_every_command_hears_quiet_and_verbose():
    for path, ctx in all_commands():
        names = {name for param in ctx.command.params for name in param.opts}
        assert {"-q", "--quiet", "-v", "--verbose"} <= names, path


def test_the_version_in_short(cli):
    assert cli("-V") == cli("--version")


def test_help_of_a_command(cli):
    assert cli("help") == cli("--help")
    assert cli("help", "reboot") == cli("reboot", "--help")
    assert cli("help", "crash", "show") == cli("crash", "show", "-h")
    assert cli("help", "rebot").err.endswith("did you mean 'reboot'? (see 'bhyvesim --help')\n")
    assert cli("help", "reboot", "x").status == 2
    assert set(root.list_commands(click.Context(root))) >= {"help"}


@pytest.mark.parametrize("typed", ["--get-memap", "--get-memap=1"])
def test_an_option_that_is_nearly_one(cli, typed):
    status, _, err = cli("--vm=x", typed)
    assert status == 2
    assert err == f"bhyvesim: illegal option -- {typed[2:]}; did you mean --get-memmap?\n"


def test_a_processor_that_is_none(cli, vm_file):
    status, _, err = cli("create", vm_file("name: x\nmemory: 1G\ncpu: arm\n"))
    assert (status, err.count("\n")) == (2, 1)
    assert "amd" in err
    assert "intel" in err


def test_a_dry_run_says_would(cli, two):
    for argv, said in (
        (("create", two, "--replace"), "would create x: 16M on kernel 14042 DEBUG"),
        (("reboot", "x"), "would reboot x: the guest would touch"),
        (("destroy", "x"), "would destroy x: no table, page or segment would leak"),
        (("destroy", "x", "--force"), "would forget x"),
    ):
        status, _, err = cli(*argv, "--dry-run")
        assert (status, err.startswith(f"bhyvesim: dry run: {said}")) == (0, True), err
        assert "x" in cli("list").out
