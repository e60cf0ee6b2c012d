"""Every JSON document that a command prints, against its published schema."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from bhyvesim.cli.root import COMMANDS
from tests.live.example import recording
from tests.scenario.test_run import WRONG
from tools.schemas import DOCUMENTS


@pytest.fixture
def valid(cli):
    schema = json.loads(cli("schema", "output").out)
    jsonschema.Draft7Validator.check_schema(schema)

    def check(definition, *argv, status=0):
        outcome = cli(*argv)
        assert outcome.status == status, outcome.err
        document = json.loads(outcome.out)
        # Published keys are all there are: one that is not in the schema is not documented.
        published = schema["definitions"][definition]["properties"]
        required = schema["definitions"][definition]["required"]
        assert set(required) <= set(document) <= set(published)
        reference = {**schema, "anyOf": [{"$ref": f"#/definitions/{definition}"}]}
        jsonschema.validate(document, reference)
        return document

    return check


def test_a_life(valid, config):
    path = config("testvm")
    valid("create", "create", "--config", path, "--format=json")
    valid("list", "list", "--format=json")
    for name in ("memmap", "memseg", "lowmem", "highmem", "eptp", "stats"):
        valid(name, f"--get-{name}", "--format=json")
    valid("gpa-pmap", "--get-gpa-pmap=4G", "--format=json")
    valid("touch", "touch", "--gpa=4G", "--format=json")
    valid("touch", "touch", "--gpa=3G", "--format=json", status=1)
    valid("reboot", "reboot", "--format=json")
    destroyed = valid("destroy", "destroy", "--format=json")["destroyed"]
    assert destroyed == [{"name": "testvm", "outcome": "destroyed", "leaked": 0}]


def test_a_death(valid, cli, config):
    cli("create", "--config", config("testvm-13932"))
    assert cli("reboot", "--format=json").status == 3
    valid("crash-list", "crash", "list", "--format=json")
    valid("crash-show", "crash", "show", "--format=json")
    explained = valid("explain", "explain", "--format=json")
    assert explained["facts"]["pte"] == 0xE23CD7067
    destroyed = valid("destroy", "destroy", "--format=json")["destroyed"]
    assert destroyed[0]["outcome"] == "forgotten"


def test_loss_is_in_the_json_of_a_reboot(valid, cli, config):
    cli("create", "--config", config("production-13932"))
    rebooted = valid("reboot", "reboot", "--format=json")
    assert rebooted["lost"] == [{"gpa": 0x100000000, "pages": 512}]
    assert rebooted["resident"] - rebooted["present"] == 511


def test_looking_inside_and_back(valid, cli, config, tmp_path):
    cli("create", "--config", config("production-13932"))
    valid("reboot", "reboot", "--format=json")
    for definition, *argv in (
        ("walk", "walk", "0x100001000"),
        ("gpt", "gpt"),
        ("find", "find", "--pfn", "0x1c0201"),
        ("leaks", "leaks"),
        ("show", "show"),
        ("log", "log"),
        ("why", "why", "0x100001000"),
    ):
        valid(definition, *argv, "--format=json")
    valid("fsck", "fsck", "--format=json", status=1)
    valid("diff", "diff", "@1", "@2.1", "--format=json", status=1)
    valid("diff-on", "diff", "--on", "13932,14042", "--format=json", status=1)
    cli("create", "--config", config("testvm-13932"), "--vm", "y")
    assert cli("--vm=y", "reboot").status == 3
    path = tmp_path / "y.dump"
    cli("crash", "export", "1", "-o", path)
    valid("explain", "explain", str(path), "--format=json")
    assert valid("explain-word", "explain", "LOST", "--format=json")["word"] == "LOST"
    valid("crash-show", "crash", "show", str(path), "--format=json")
    valid("walk", "walk", "4G", "--crash", str(path), "--format=json")


def test_a_migration(valid, cli, vm_file):
    text = 'name: m\nkernel: {gpt: "2025"}\nmemory: 8M\nbootrom: 0\ntrack_dirty: true\n'
    cli("create", "--config", vm_file(text, "m.yaml"))
    valid("migrate", "migrate", "--to=n", "--keep", "--format=json")
    lossy = ("--discipline=arrived-clean", "--hops=2", "--fail-after=paused")
    valid("migrate", "migrate", "--vm=m", "--to=o", "--format=json", *lossy, status=1)
    valid("log", "log", "--vm=m", "--format=json")


def test_single_operations(valid, cli, config):
    cli("create", "--config", config("testvm"), "--gpt", "2025")
    valid("hold", "hold", "--gpa=4G", "--format=json")
    valid("hold", "hold", "--gpa=3G", "--format=json", status=1)
    valid("peek", "peek", "--gpa=4G", "--len=8", "--format=json")
    valid("bitmap", "dirty", "--gpa=4G", "--len=64K", "--format=json")
    npt = ("npt", "--gpa=0", "--len=0", "--operation=GET_TRACK_DIRTY", "--format=json")
    valid("bitmap", *npt)


def test_a_search(valid, tmp_path):
    search = ("--gpt=2025", "--runs=100", "--seed=1", f"-o{tmp_path}", "--format=json")
    found = valid("explore", "explore", *search, status=1)["findings"]
    assert "hang" in [finding["kind"] for finding in found]
    bound = ("--gpt=14042", "--bound=maps=2,points=9", "--jobs=1", "--format=json")
    assert not valid("prove", "prove", *bound, status=1)["holds"]
    parted = valid("lockstep", "lockstep", "--against=cat", "--format=json", status=1)["parted"]
    assert (parted["operation"], parted["op"]) == (1, "create")


def test_what_identifies_a_kernel(valid):
    valid("identify", "identify", "--wired=0", "--format=json")
    valid("identify", "identify", "--errno=npt_op=ok", "--no-experiment", "--format=json")
    valid("identify", "identify", "--errno=hold=E2BIG", "--format=json", status=1)


def test_a_recorded_host(valid, vm_file):
    text = recording()
    whole = vm_file(text, "host.jsonl")
    ended_in_a_call = vm_file("".join(text.splitlines(keepends=True)[:4]), "cut.jsonl")
    valid("replay-live", "replay", "--live", whole, "--format=json")
    valid("replay-live", "replay", "--live", whole, "--gpt=2025", "--format=json", status=1)
    cut = valid("replay-live", "replay", "--live", ended_in_a_call, "--format=json", status=1)
    assert cut["vms"][0]["under_way"]["function"] == "vm_alloc_memseg"


def test_what_a_crash_tells(valid, vm_file):
    samples = Path(__file__).parents[2] / "examples" / "crashes"
    read = valid("import-crash", "import", str(samples / "propolis-756g.txt"), "--format=json")
    assert read["verdict"].startswith("panic C of 15844")
    unknown = vm_file("panic[cpu0]/thread=ff: BAD TRAP: type=e\n", "crash.txt")
    read = valid("import-crash", "import", unknown, "--format=json", status=1)
    assert (read["cause"], read["vm"]) == (None, None)


def test_the_state(valid, cli, config):
    cli("create", "--config", config("testvm"))
    assert valid("state-check", "state", "check", "--format=json")["rows"]["vm"] == 1
    assert valid("state-compact", "state", "compact", "--format=json")["events"] == 0


def test_every_document_is_tried():
    here = Path(__file__).read_text(encoding="utf-8")
    tried = set(re.findall(r'valid\(\s*"([a-z-]+)"', here)) | set(
        re.findall(r'^\s*\("([a-z-]+)", ', here, re.MULTILINE)
    )
    tried |= {"memmap", "memseg", "lowmem", "highmem", "eptp", "stats"}  # by name, in a loop
    assert DOCUMENTS.keys() <= tried


def test_many_vms_and_reviews(valid, config, vm_file):
    valid("matrix", "matrix", config("testvm"), "--format=json")
    both = (config("testvm"), config("testvm-13932"))
    valid("matrix-fleet", "matrix", *both, "--format=json")
    valid("matrix-rollout", "matrix", *both, "--from=13932", "--to=14042", "--format=json")
    valid("run", "run", vm_file(WRONG), "--format=json", status=1)
    valid("bisect", "bisect", vm_file(WRONG), "--format=json", status=1)
    valid("check", "check", config("testvm-13932"), "--format=json", status=1)
    good, bad = vm_file("memory.size=4G\n", "a"), vm_file("x", "b")
    valid("import", "import", "--check", good, bad, "--format=json", status=2)


def test_the_host(valid, cli):
    valid("host", "host", "show", "--format=json")
    valid("host", "host", "set", "--memory=1T", "--reservoir=1G", "--format=json")


@pytest.fixture
def one_document(valid, cli):
    """A command that asks for JSON and fails: one document, and the line for people."""

    def check(definition, *argv, status):
        document = valid(definition, *argv, status=status)
        err = cli(*argv).err
        assert err.startswith("bhyvesim: ") or "panic[cpu" in err
        return document

    return check


def test_a_panic_is_a_document(valid, cli, config):
    cli("create", "--config", config("testvm-13932"))
    dry = valid("halted", "reboot", "--dry-run", "--format=json", status=3)
    assert (dry["outcome"], dry["crash"]) == ("panicked", None)
    told = valid("halted", "reboot", "--format", "json", status=3)
    assert (told["outcome"], told["vm"], told["operation"]) == ("panicked", "testvm", "reboot")
    assert told["crash"] == 1
    assert told["panic"]["letter"] == "A"
    assert told["panic"]["function"] == told["panic"]["stack"][0][0] == "vmm_gpt_vacate_entry"
    assert told["panic"]["message"].startswith("assertion failed: ptes[i] == 0 (0xe23cd7067")
    assert "hang" not in told


def test_a_hang_is_a_document(valid, cli, vm_file):
    cli("create", "--config", vm_file("name: h\nmemory: 8M\nkernel: {gpt: 2025}\n"))
    cli("hold", "--gpa", "0")
    told = valid("halted", "reboot", "--format=json", status=3)
    assert (told["outcome"], told["hang"]["function"]) == ("hung", "vmc_space_unmap")
    assert "panic" not in told


@pytest.mark.parametrize(
    ("argv", "status", "errno"),
    [
        (["walk", "--vm=nobody", "0", "--format=json"], 1, "ENOENT"),
        (["--vm=nobody", "--get-memmap", "--format=json"], 1, "ENOENT"),
        (["--vm=nobody", "reboot", "--format", "json"], 1, "ENOENT"),
        (["reboot", "--format=json", "--no-such-option"], 2, None),
        (["--get-memmap", "--no-such-option", "--format=json"], 2, None),
        (["nonsense", "--format=json"], 2, None),
        (["crash", "show", "7", "--format=json"], 1, "ENOENT"),
        (["matrix", "--format=json"], 2, None),
    ],
)
def test_what_is_refused_is_a_document(one_document, argv, status, errno):
    error = one_document("error", *argv, status=status)["error"]
    assert (error["status"], error["errno"], error["file"]) == (status, errno, None)
    assert error["message"]


@pytest.mark.parametrize("command", ["create --config", "check", "matrix", "run"])
def test_where_a_file_is_wrong_is_in_the_document(one_document, vm_file, command):
    path = vm_file("name: x\nmemory: 7\n")
    error = one_document("error", *command.split(), path, "--format=json", status=2)["error"]
    assert (error["file"], error["line"]) == (path, 1 if command == "run" else 2)
    assert error["message"].startswith(f"{path}:")


def test_several_questions_are_one_document(cli, config):
    cli("create", "--config", config("testvm"))
    asked = ["memseg", "memmap", "lowmem", "highmem", "eptp", "stats"]
    out = cli(*(f"--get-{word}" for word in asked), "--get-gpa-pmap=0", "--format=json").out
    document = json.loads(out)
    assert set(document) == {*asked, "gpa-pmap"}
    for word in asked:
        alone = json.loads(cli(f"--get-{word}", "--format=json").out)
        assert alone == {word: document[word]}


def test_sysmem_has_one_name(cli, config):
    cli("create", "--config", config("testvm"))
    document = json.loads(cli("--get-memseg", "--get-memmap", "--format=json").out)
    assert {seg["name"] for seg in document["memseg"]} == {"sysmem", "bootrom"}
    assert {m["segment"] for m in document["memmap"]} == {"sysmem", "bootrom"}


def test_what_was_printed_already_stays_the_one_document(cli, config, monkeypatch):
    """A damaged VM among several: the list is the document, the damage a line for people."""
    import sqlite3

    from bhyvesim.store.store import Store

    cli("create", "--config", config("testvm"))
    with sqlite3.connect(Store().path) as db:
        db.execute("UPDATE moment SET resident = '7'")
    db.close()
    listed = cli("list", "--format=json")
    assert listed.status == 4
    assert json.loads(listed.out) == {"vms": []}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_prints_json_fails_in_json(valid, cli, name):
    """An option that no command has: one document of the same form from each."""
    valid("error", name, "--no-such-option", "--format=json", status=2)
