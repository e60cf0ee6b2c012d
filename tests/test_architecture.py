"""Imports go down: cli -> config, store, report -> machine -> vmspace -> gpt -> pte."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "bhyvesim"

# Lower is deeper; a module may import its own layer and deeper ones.
LAYERS = {
    "errors": 0,
    "units": 0,
    "span": 0,
    "prot": 0,
    "text": 0,
    "kernel": 0,
    "pte": 1,
    "gpt": 2,
    "vmspace": 3,
    "machine": 4,
    "crash": 5,
    "ops": 5,
    "scenario": 6,
    "vmm": 5,
    "config": 7,
    "store": 7,
    "host": 8,
    "report": 9,
    "cli": 10,
    "pytest_plugin": 11,
    "__main__": 11,
}
SIBLINGS = {"config", "store"}  # of one layer, and strangers to each other
HOMES = {"click": {"cli"}, "sqlite3": {"store"}, "yaml": {"config"}, "rich": {"report", "cli"}}


def imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        layer = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if layer != "__init__":
            yield path, layer


def test_every_module_has_a_layer():
    assert {layer for _, layer in modules()} <= LAYERS.keys()


def test_imports_go_down():
    for path, layer in modules():
        for name in imports(path):
            parts = name.split(".")
            if parts[0] != "bhyvesim" or len(parts) == 1:
                continue
            target = parts[1]
            assert LAYERS[target] <= LAYERS[layer], f"{path} imports {name}"
            if layer in SIBLINGS and target in SIBLINGS:
                assert layer == target, f"{path} imports its sibling {name}"


def test_each_library_is_met_in_one_place():
    for path, layer in modules():
        for name in imports(path):
            top = name.split(".")[0]
            assert layer in HOMES.get(top, {layer}), f"{path} imports {name}"


def test_engine_knows_no_files_terminals_or_databases():
    allowed = set(sys.stdlib_module_names) - {"os", "io", "pathlib", "sqlite3", "subprocess", "sys"}
    for path, layer in modules():
        if LAYERS[layer] <= LAYERS["machine"]:
            for name in imports(path):
                top = name.split(".")[0]
                assert top == "bhyvesim" or top in allowed, f"{path} imports {name}"


def test_no_revision_is_named_outside_its_file():
    for path, layer in modules():
        if LAYERS[layer] > LAYERS["machine"] or "revisions" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                constants = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
                names = {"13932", "14042", "13896", "14367", "15844", "2025"}
                assert not names & set(map(str, constants)), f"{path}:{node.lineno}"
