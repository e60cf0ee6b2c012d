"""Shell completion, in real shells: what a person gets who presses TAB."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pexpect
import pytest

START = {
    "bash": (["--norc", "--noprofile", "-i"], "PS1='READY> '; source {script}"),
    "zsh": (
        ["-f", "-i"],
        "PS1='READY> '; autoload -Uz compinit && compinit -u -d {folder}/dump; source {script}",
    ),
    "fish": (
        ["--no-config", "-i"],
        "function fish_prompt; echo 'READY> '; end; function fish_greeting; end; source {script}",
    ),
}


def interactive(name, cli, tmp_path):
    """An interactive shell in which the completion script has been sourced."""
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    script = tmp_path / f"completion.{name}"
    script.write_text(cli("completion", name).out)
    arguments, setup = START[name]
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TERM": "dumb",
        "HOME": str(tmp_path),
        "BASH_SILENCE_DEPRECATION_WARNING": "1",
    }
    child = pexpect.spawn(
        name,
        arguments,
        env=env,
        encoding="utf-8",
        timeout=30,
        cwd=str(tmp_path),
        dimensions=(40, 200),
    )
    child.sendline(setup.format(script=script, folder=tmp_path))
    child.sendline("echo sou''rced")
    child.expect("sourced")
    return child


@pytest.fixture(params=list(START))
def bare(request, cli, tmp_path):
    """A shell, and no VM."""
    child = interactive(request.param, cli, tmp_path)
    yield child
    child.close(force=True)


@pytest.fixture
def shell(bare, cli, config):
    """A shell, the VM frankenstein, and two crash dumps."""
    for _ in range(2):
        cli("create", "--config", config("testvm-13932"), "--vm", "igor", "--replace")
        assert cli("reboot", "--vm", "igor").status == 3
    cli("destroy", "--vm", "igor")
    cli("create", "--config", config("testvm"), "--vm", "frankenstein")
    return bare


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("bhyvesim reb", "reboot"),
        ("bhyvesim --get-memm", "--get-memmap"),
        ("bhyvesim reboot --vm fra", "frankenstein"),
        ("bhyvesim create --gpt 158", "15844"),
        ("bhyvesim completion zs", "zsh"),
        ("bhyvesim --vm=fra", "--vm=frankenstein"),
        ("bhyvesim --vm=frankenstein --get-g", "--get-gpa-pmap"),
        ("bhyvesim --vm=frankenstein --get-memmap --format=j", "--format=json"),
        ("bhyvesim reboot --vm=fra", "--vm=frankenstein"),
        ("bhyvesim --format=ta", "--format=table"),
        ("bhyvesim diff --on=13932,158", "--on=13932,15844"),
        ("bhyvesim diff --on 13932,158", "13932,15844"),
        ("bhyvesim trace -n vm_map_remove:e", "vm_map_remove:entry"),
        ("bhyvesim trace -n fbt:vmm:vm_map_remove:e", "fbt:vmm:vm_map_remove:entry"),
        ("bhyvesim trace -n vm_map_remove:entry reb", "reboot"),
        ("bhyvesim trace -n vm_map_remove:entry reboot --vm fra", "frankenstein"),
        ("bhyvesim diff fra", "frankenstein"),
        ("bhyvesim crash exp", "export"),
    ],
)
def test_tab_completes(shell, typed, completed):
    shell.send(f"{typed}\t")
    shell.expect_exact(completed[len(typed.split()[-1]) :])


@pytest.mark.parametrize("typed", ["bhyvesim crash show ", "bhyvesim diff crash:"])
def test_tab_shows_the_crashes(shell, typed):
    name = os.path.basename(shell.command)
    if name == "fish":  # whose list of several needs a cleverer terminal
        shell.send(f"complete -C '{typed}'\r")
    else:
        shell.send(f"{typed}\t" + "\t" * (name == "bash"))
    shell.expect(r"1\b.*2\b|2\b.*1\b")


@pytest.mark.parametrize(
    "typed", ["create --config unmi", "create --config=unmi", "--create --config=unmi", "run unmi"]
)
def test_tab_completes_files(shell, tmp_path, typed):
    (tmp_path / "unmistakable.yaml").write_text("name: x\n")
    shell.send(f"bhyvesim {typed}\t")
    shell.expect_exact("stakable.yaml")


@pytest.mark.parametrize("name", ["*", "it's $HOME", "a:b=c@d", "über \\ alles"])
@pytest.mark.parametrize("typed", ["--vm=", "--vm "])
def test_a_name_is_completed_so_that_the_shell_takes_it_as_it_is(bare, cli, vm_file, name, typed):
    cli("create", "--config", vm_file("name: x\nmemory: 64M\n"), "--vm", name)
    bare.send(f"bhyvesim {typed}\t")
    bare.send("--get-lowmem\r")
    bare.expect("67108864")


@pytest.mark.parametrize("contents", [b"no database", b""])
def test_a_state_that_cannot_be_used_completes_nothing_and_says_nothing(bare, tmp_path, contents):
    state = tmp_path / "state"
    if contents:
        state.mkdir()
        (state / "state.sqlite3").write_bytes(contents)
    else:
        state.write_text("not a folder")
    for typed in ("--vm=", "reboot --vm ", "diff ", "diff crash:"):
        bare.send(f"bhyvesim {typed}\t\x15")
    bare.send("echo a''live\r")
    bare.expect("alive")
    assert "rror" not in bare.before
    assert "state" not in bare.before
    assert "bhyvesim: " not in bare.before


def test_every_shell_has_a_script(cli):
    for name in START:
        out = cli("completion", name).out
        assert "_BHYVESIM_COMPLETE" in out
    assert cli("completion", "tcsh").status == 2
