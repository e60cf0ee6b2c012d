"""README.md: its shell, Python and YAML blocks work."""

from __future__ import annotations

import subprocess

import yaml

from tests.sessions import ROOT, blocks, on_path

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_shell_for_ci_runs():
    (script,) = blocks(README, "sh")
    done = subprocess.run(
        ["sh", "-c", script], cwd=ROOT, env=on_path(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "bug 14042 stays fixed" in done.stdout


def test_the_python_runs(capsys):
    (code,) = blocks(README, "python")
    exec(compile(code, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert "vmm_gpt_vacate_entry assertion failed: ptes[i] == 0" in out
    assert out.endswith("b'a guest wrote this'\n")


def test_the_yaml_is_what_it_seems(vm_file, cli):
    vm, scenario, workflow = blocks(README, "yaml")
    assert cli("create", "--config", vm_file(vm)).status == 0
    here = scenario.replace("../configs/testvm.yaml", str(ROOT / "configs" / "testvm.yaml"))
    status, _, err = cli("run", vm_file(here, "scenario.yaml"))
    assert (status, err) == (0, "bhyvesim: 24 cells, 0 failed\n")
    steps = yaml.safe_load(workflow)["jobs"]["scenarios"]["steps"]
    commands = [step["run"] for step in steps if "run" in step]
    assert commands[1].startswith("bhyvesim run examples/bhyve-tests --junit")
