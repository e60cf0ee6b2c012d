"""The console sessions in README.md, command by command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent


def sessions(text: str):
    """(command, output) of every ``$`` line in the console blocks."""
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output.rstrip("\n")


def on_path():
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def blocks(language):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_readmes_shell_for_ci_runs():
    (script,) = blocks("sh")
    done = subprocess.run(
        ["sh", "-c", script], cwd=ROOT, env=on_path(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "bug 14042 stays fixed" in done.stdout


def test_the_readmes_python_runs(capsys):
    (code,) = blocks("python")
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("vmm_gpt_vacate_entry assertion failed: ptes[i] == 0")


def test_the_readmes_yaml_is_what_it_seems(vm_file, cli):
    vm, scenario, workflow = blocks("yaml")
    assert cli("create", "--config", vm_file(vm)).status == 0
    here = scenario.replace("../configs/testvm.yaml", str(ROOT / "configs" / "testvm.yaml"))
    status, _, err = cli("run", vm_file(here, "scenario.yaml"))
    assert (status, err) == (0, "bhyvesim: 24 cells, 0 failed\n")
    steps = yaml.safe_load(workflow)["jobs"]["scenarios"]["steps"]
    commands = [step["run"] for step in steps if "run" in step]
    assert commands[1].startswith("bhyvesim run examples/bhyve-tests --junit")


def test_the_readme_shows_real_output(tmp_path):
    shown = [
        (command, output)
        for command, output in sessions((ROOT / "README.md").read_text(encoding="utf-8"))
        if not command.startswith("make ")
    ]
    assert len(shown) > 8
    script = "".join(f"{command} 2>&1\ns=$?; echo '::end'; (exit $s)\n" for command, _ in shown)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env=on_path(),
        capture_output=True,
        text=True,
        check=False,
    )
    outputs = [part.rstrip("\n") for part in done.stdout.split("::end\n")]
    for (command, expected), got in zip(shown, outputs, strict=False):
        assert got.lstrip("\n") == expected, command
    assert len(outputs) == len(shown) + 1
