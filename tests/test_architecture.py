"""Imports go down, from the command line to the simulated kernel."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Sequence
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "bhyvesim"

# Lower is deeper; a module may import its own layer and deeper ones.
LAYERS = {
    "errors": 0,
    "units": 0,
    "span": 0,
    "prot": 0,
    "text": 0,
    "values": 0,
    "limits": 0,
    "regex": 0,
    "kernel.builds": 1,
    "kernel.functions": 1,
    "kernel.calls": 2,
    "kernel.pte": 3,
    "kernel.gpt": 4,
    "kernel.revisions": 5,
    "kernel.memory": 5,
    "kernel.pages": 5,
    "kernel.results": 5,
    "kernel.reservoir": 5,
    "kernel.stacks": 5,
    "kernel.mapping": 6,
    "kernel.vmspace": 7,
    "kernel.client": 8,
    "kernel.watched": 9,
    "kernel.snapshot": 10,  # and the machine: each hands itself to the other
    "kernel.machine": 10,
    "kernel.check": 11,
    "kernel.contents": 11,
    "kernel.npt": 11,
    "kernel.vmrun": 11,
    "kernel.plain": 11,
    "kernel.look": 12,
    "trace": 12,
    "revision_file": 13,
    "code": 0,
    "workers": 14,
    "crash": 12,
    "ops": 12,
    "vm": 13,
    "lint": 14,
    "config": 15,
    "store": 15,
    "scenario": 14,
    "host": 16,
    "report": 17,
    "explore": 17,
    "cli": 18,
    "pytest_plugin": 19,
    "__main__": 19,
}
# Of one layer, and strangers to each other.
SIBLINGS = ({"config", "store"}, {"crash", "ops", "trace"}, {"explore", "report"})
HOMES = {"click": {"cli"}, "sqlite3": {"store"}, "yaml": {"config"}, "rich": {"cli"}}


def imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "bhyvesim.kernel":
                yield from (f"bhyvesim.kernel.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        layer = layer_of(path.relative_to(PACKAGE).with_suffix("").parts)
        if layer is not None:
            yield path, layer


def layer_of(parts: Sequence[str]) -> str | None:
    """The layer of a module below the package; the kernel's rooms are layers of their own."""
    if parts[0] == "kernel" and len(parts) > 1:
        return None if parts[1] == "__init__" else f"kernel.{parts[1]}"
    return None if parts[0] == "__init__" else parts[0]


def test_every_module_has_a_layer():
    assert {layer for _, layer in modules()} <= LAYERS.keys()


def test_imports_go_down():
    for path, layer in modules():
        for name in imports(path):
            parts = name.split(".")
            if parts[0] != "bhyvesim" or len(parts) == 1:
                continue
            target = layer_of(parts[1:])
            assert LAYERS[target] <= LAYERS[layer], f"{path} imports {name}"
            for siblings in SIBLINGS:
                if {layer, target} <= siblings:
                    assert layer == target, f"{path} imports its sibling {name}"


def test_each_library_is_met_in_one_place():
    for path, layer in modules():
        for name in imports(path):
            top = name.split(".")[0]
            assert layer in HOMES.get(top, {layer}), f"{path} imports {name}"


def test_engine_knows_no_files_terminals_or_databases():
    allowed = set(sys.stdlib_module_names) - {"os", "io", "pathlib", "sqlite3", "subprocess", "sys"}
    for path, layer in modules():
        if LAYERS[layer] <= LAYERS["ops"]:
            for name in imports(path):
                top = name.split(".")[0]
                assert top == "bhyvesim" or top in allowed, f"{path} imports {name}"


def test_no_revision_is_named_outside_its_file():
    for path, layer in modules():
        if not layer.startswith("kernel.") or "revisions" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                constants = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
                names = {"13932", "14042", "13896", "14367", "15844", "2025"}
                assert not names & set(map(str, constants)), f"{path}:{node.lineno}"


def test_the_page_on_the_architecture_has_every_room():
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    told = set(re.findall(r"^\*\*(\w+)\*\* (?:is|has|parses|turns|reads)", page, re.MULTILINE))
    assert told == rooms
    named = set(re.findall(r"`(\w+)`", page.partition("**kernel**")[2].partition("## Four")[0]))
    kernel = {path.stem for path in (PACKAGE / "kernel").iterdir() if path.stem[0] != "_"}
    assert kernel <= named
