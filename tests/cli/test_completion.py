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


@pytest.fixture(params=list(START))
def shell(request, cli, config, tmp_path):
    """An interactive shell in which the completion script has been sourced."""
    name = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    cli("create", "--config", config("testvm"), "--vm", "frankenstein")
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
    yield child
    child.close(force=True)


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("bhyvesim reb", "reboot"),
        ("bhyvesim --get-memm", "--get-memmap"),
        ("bhyvesim reboot --vm fra", "frankenstein"),
        ("bhyvesim create --gpt 158", "15844"),
        ("bhyvesim completion zs", "zsh"),
    ],
)
def test_tab_completes(shell, typed, completed):
    shell.send(f"{typed}\t")
    shell.expect_exact(completed[len(typed.split()[-1]) :])


def test_tab_completes_files(shell, tmp_path):
    (tmp_path / "unmistakable.yaml").write_text("name: x\n")
    shell.send("bhyvesim create --config unmi\t")
    shell.expect_exact("stakable.yaml")


def test_every_shell_has_a_script(cli):
    for name in START:
        out = cli("completion", name).out
        assert "_BHYVESIM_COMPLETE" in out
    assert cli("completion", "tcsh").status == 2
