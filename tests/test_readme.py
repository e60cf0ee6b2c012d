"""README.md and the pages beside it: their shell, Python and YAML blocks work."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

from tests.sessions import ROOT, blocks, on_path

README = (ROOT / "README.md").read_text(encoding="utf-8")


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def shell(script: str) -> str:
    done = subprocess.run(
        ["sh", "-c", script], cwd=ROOT, env=on_path(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_short_and_leaves_the_rest_to_the_site():
    assert README.count("\n") < 200
    assert "$XDG_STATE_HOME" in README
    targets = [part.split(")")[0] for part in README.split("](")[1:]]
    local = [target for target in targets if "://" not in target]
    assert len(local) > 10
    assert [target for target in local if not Path(ROOT / target).is_file()] == []


def test_the_test_command_is_what_ci_runs():
    (commands, *_) = blocks(README, "console")
    assert "$ make test " in commands
    assert (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()[-1] == "make test"


def test_the_shell_for_ci_runs():
    (script,) = blocks(README, "sh")
    assert "14367" in shell(script)
    (script,) = blocks(page("how-to/guard-a-vm-shape"), "sh")
    assert "bug 14042 stays fixed" in shell(script)


def test_the_python_runs(capsys):
    (code,) = blocks(README, "python")
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("vmm_gpt_vacate_entry assertion failed: ptes[i] == 0")
    vm, machine = blocks(page("how-to/use-from-python"), "python")
    exec(compile(vm, "use-from-python.md", "exec"), {})
    out = capsys.readouterr().out
    assert "vmm_gpt_vacate_entry assertion failed: ptes[i] == 0" in out
    assert out.endswith("b'a guest wrote this'\n")
    exec(compile(machine, "use-from-python.md", "exec"), {})
    assert capsys.readouterr().out == "512 512\nEINVAL\n"


def test_the_descriptions_are_what_they_seem(vm_file, cli):
    described = [*blocks(README, "yaml"), *blocks(page("how-to/describe-a-vm"), "yaml")]
    assert len(described) == 4
    for vm in described:
        assert cli("create", "--replace", "--config", vm_file(vm)).status == 0


def test_the_workflow_runs_what_there_is():
    (workflow,) = blocks(page("how-to/guard-a-vm-shape"), "yaml")
    steps = yaml.safe_load(workflow)["jobs"]["scenarios"]["steps"]
    commands = [step["run"] for step in steps if "run" in step]
    assert commands[1].startswith("bhyvesim run examples/bhyve-tests --junit")
