"""Every string of every input, with what a terminal or a CI would obey: nothing does."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from bhyvesim.crash.codec import decode, encode
from bhyvesim.store.store import Store
from tests.sessions import ROOT

NASTY = "x\n::error file=a::pwned\x1b[31m\x1b]0;t\x07\u202egnp\x9b\r<script>alert(1)</script>\u2028"
RAW = {"\x1b", "\x07", "\u202e", "\x9b", "\r", "\u2028"}
VM = {
    "name": "v",
    "kernel": {"gpt": "13932", "debug": True, "assertions": "panic"},
    "cpu": "amd",
    "memory": "4M",
    "bootrom": "64K",
    "touch": [{"gpa": "0", "len": "4K", "access": "rw", "by": "vcpu"}],
    "segments": [{"id": 3, "name": "fb", "size": "4M"}],
    "mappings": [{"gpa": "1G", "segment": 3, "offset": "0", "len": "4M", "prot": "rw"}],
}
SCENARIO = {
    "title": "t",
    "host": {"limit": "64G"},
    "vm": {"name": "v", "memory": "4M"},
    "matrix": {"gpt": ["13932"], "debug": [True]},
    "steps": [
        {"create": None, "expect": "ok"},
        {"touch": {"gpa": "0", "len": "4K"}, "expect": {"accessed": 1}},
        {"reboot": None, "expect": {"lost": 0, "panic": "A"}},
        {"destroy": None, "expect": "EINVAL"},
    ],
}


@pytest.fixture
def harmless(cli, monkeypatch):
    """Run a command; what it shows gives no orders."""

    def call(*words, github=False):
        if github:
            monkeypatch.setenv("GITHUB_ACTIONS", "true")
        outcome = cli(*words)
        monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
        check(outcome.out + outcome.err, words)
        assert outcome.status != 70, (words, outcome.err)
        return outcome

    return call


def check(text, words):
    assert not RAW & set(text), (words, text)
    assert not any(line.startswith("::error file=a") for line in text.splitlines()), (words, text)


def variants(value):
    """*value* with each of its strings, one by one, made nasty; and with a nasty key."""
    if isinstance(value, dict):
        yield {**value, NASTY: "1"}
        for key, inner in value.items():
            yield from ({**value, key: other} for other in variants(inner))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from ([*value[:at], other, *value[at + 1 :]] for other in variants(inner))
    else:
        yield NASTY


DESCRIPTIONS = list(variants(VM))
SCENARIOS = list(variants(SCENARIO))


@pytest.mark.parametrize("number", range(len(DESCRIPTIONS)))
def test_descriptions(harmless, vm_file, number):
    for text in (json.dumps(DESCRIPTIONS[number]), yaml.safe_dump(DESCRIPTIONS[number])):
        path = vm_file(text)
        for fmt in ("plain", "table", "json", "github", "sarif"):
            harmless("check", path, "--format", fmt)
        harmless("matrix", path)
        for words in (("create", "--config", path, "--replace", "--verbose"), ("list",)):
            harmless(*words, github=True)
        harmless("--get-memseg", "--get-memmap")
        harmless("destroy", "--all")


@pytest.mark.parametrize("number", range(len(SCENARIOS)))
def test_scenarios(harmless, vm_file, tmp_path, number):
    path, junit = vm_file(json.dumps(SCENARIOS[number]), "s.yaml"), tmp_path / "junit.xml"
    for fmt in ("plain", "table", "json"):
        harmless("run", path, "--jobs", "1", "--format", fmt, "--junit", junit, github=True)
    harmless("bisect", path, "--jobs", "1")
    harmless("explore", path, "--runs", "1", "--jobs", "1")
    if junit.exists():
        check(junit.read_text(encoding="utf-8"), "junit")


@pytest.fixture
def dump(cli, config, tmp_path):
    cli("create", "--config", config("testvm-13932"))
    assert cli("reboot").status == 3
    cli("crash", "export", "1", "-o", tmp_path / "good.dump")
    return decode((tmp_path / "good.dump").read_bytes())


def _dumps(dump):
    from dataclasses import fields, replace

    for field in fields(dump):
        value = getattr(dump, field.name)
        if isinstance(value, str):
            yield replace(dump, **{field.name: NASTY})
    first, *rest = dump.stack
    yield replace(dump, stack=(first._replace(function=NASTY), *rest))
    yield replace(dump, stack=(first._replace(names=(NASTY,) * len(first.names)), *rest))
    yield replace(dump, facts={**dump.facts, NASTY: NASTY})
    yield replace(dump, facts=dict.fromkeys(dump.facts, NASTY))
    yield replace(dump, locks=(NASTY,))


def test_crash_dumps(harmless, dump, tmp_path):
    for number, nasty in enumerate(_dumps(dump)):
        path = tmp_path / f"{number}.dump"
        path.write_bytes(encode(nasty))
        page = tmp_path / "page.html"
        for fmt in ("plain", "console", "fma", "mdb", "json"):
            harmless("crash", "show", path, "--format", fmt)
        for words in (
            ("explain", path),
            ("explain", path, "--format", "json"),
            ("report", "--crash", path, "-o", page),
            ("walk", "0", "--crash", path),
            ("fsck", "--crash", path),
            ("gpt", "--crash", path),
            ("diff", path, path),
            ("crash", "import", path),
            ("crash", "list"),
            ("crash", "list", "--format", "json"),
            ("crash", "list", "--format", "table"),
            ("explain", str(number + 2)),
            ("state", "check"),
        ):
            harmless(*words)
        if page.exists():
            check(page.read_text(encoding="utf-8"), words)
            assert "<script>alert" not in page.read_text(encoding="utf-8")


def _foreign():
    for path in sorted((ROOT / "examples" / "crashes").iterdir()):
        yield path.read_text(encoding="utf-8", errors="replace")
    yield "name=v\ncpus=1\nmemory.size=4G\n"
    yield "bhyve -c 1 -m 4G -s 0,hostbridge v\n"
    yield 'loader="uefi"\ncpu=1\nmemory=4G\n'
    yield "create -b\nset brand=bhyve\nadd attr\nset name=ram\nset type=string\nset value=4G\nend\n"
    yield json.dumps({"alias": "v", "brand": "bhyve", "ram": 4096, "vcpus": 1})
    yield '[main]\nname = "v"\ncpus = 1\nmemory = 4096\nbootrom = "/b"\n'
    yield "<domain type='bhyve'><name>v</name><memory unit='KiB'>4096</memory></domain>"


def test_foreign_files(harmless, vm_file):
    for text in _foreign():
        lines = text.split("\n")
        for at in range(min(len(lines), 12)):
            for line in (f"{lines[at]}{NASTY[2:]}", f"{NASTY[2:]}{lines[at]}"):
                path = vm_file("\n".join([*lines[:at], line, *lines[at + 1 :]]), "foreign")
                harmless("import", path)
                harmless("import", path, "--check")
        path = vm_file(text.replace("v", NASTY), "foreign")
        harmless("import", path, "--verbose")
        harmless("identify", "--panic-file", path, "--no-experiment")
        harmless("identify", "--memmap", path, "--no-experiment")


def test_recorded_operations(harmless, vm_file):
    ops = [
        {"op": "create", "gpt": "13932", "debug": True, "npt": "rvi"},
        {"op": "alloc_memseg", "segid": 0, "len": 4096, "name": "n", "expect": {"ok": True}},
        {"op": "read", "gpa": 0, "len": 4},
    ]
    for at in range(len(ops)):
        for nasty in variants(ops[at]):
            lines = [json.dumps(op) for op in (*ops[:at], nasty, *ops[at + 1 :])]
            path = vm_file("\n".join(lines) + "\n", "ops.jsonl")
            harmless("replay", path)
            harmless("identify", "--trace", path, "--no-experiment")


def test_paths_and_words(harmless, tmp_path, config, monkeypatch):
    path = str(tmp_path / NASTY.replace("/", "|"))
    Path(path).write_text("name: 7\n")
    harmless("create", "--config", config("testvm"))
    for words in (
        ("create", "--config", path),
        ("check", path),
        ("matrix", path),
        ("import", path),
        ("import", path, "--check"),
        ("run", path),
        ("bisect", path),
        ("explore", path),
        ("crash", "show", path),
        ("crash", "import", path),
        ("replay", path),
        ("prove", "--check", path),
        ("lockstep", "--against", path, "--runs", "1"),
        ("host", "set", "--kstat", path),
        ("identify", "--trace", path),
        ("identify", "--panic", NASTY, "--no-experiment"),
        ("identify", "--errno", NASTY),
        ("state", "restore", path),
        ("state", "backup", path),
        ("--revision-file", path, "list"),
        ("report", "-o", path),
        ("config", "init", path),
        ("walk", NASTY),
        ("why", NASTY),
        ("why", "0", "--until", NASTY),
        ("find", "--pte", NASTY),
        ("gpt", "--has", NASTY),
        ("diff", NASTY, NASTY),
        ("diff", "--on", NASTY),
        ("explain", NASTY),
        ("trace", "-n", NASTY, "reboot"),
        ("npt", "--gpa=0", "--len=0", "--operation", NASTY),
        ("schema", NASTY),
        ("completion", NASTY),
        (NASTY,),
        ("--" + NASTY,),
        ("--get-memmap", "--format=" + NASTY),
        ("--get-gpa-pmap=" + NASTY,),
        ("--vm=" + NASTY, "--get-memmap"),
    ):
        outcome = harmless(*words)
        assert outcome.out or outcome.err.count("\n") == 1, words
    for name in ("BHYVESIM_VM", "SOURCE_DATE_EPOCH", "BHYVESIM_REVISION_FILE"):
        monkeypatch.setenv(name, NASTY)
        for words in (("leaks",), ("reboot",), ("--get-memmap",), ("crash", "show")):
            harmless(*words)
        monkeypatch.delenv(name)
    monkeypatch.setenv("BHYVESIM_STATE_DIR", path)
    for words in (("list",), ("create", "--config", config("testvm")), ("state", "check")):
        assert harmless(*words).status == 4


def test_a_state_that_somebody_wrote_to(harmless, cli, config):
    import click

    from bhyvesim.cli.params import complete_vm
    from bhyvesim.cli.root import root

    cli("create", "--config", config("testvm"))
    with closing(sqlite3.connect(Store().path)) as db:
        db.execute("UPDATE vm SET name = ?", (NASTY,))
        db.commit()
    for words in (("list",), ("list", "--format=json"), ("leaks",), ("log",), ("state", "check")):
        harmless(*words)
    harmless("--get-memmap")
    assert complete_vm(click.Context(root), root.params[0], "") == []
    assert os.path.exists(Store().path)
