"""migrate as a step: what it expects, what it refuses, and the examples of it."""

from __future__ import annotations

import json

import jsonschema
import pytest
import yaml

from bhyvesim.vm.migration.plan import DEVICE_WRITES, DISCIPLINES
from tests.conftest import ROOT

EXAMPLES = sorted((ROOT / "examples" / "migration").glob("*.yaml"))
HEAD = "title: t\nvm: {name: v, memory: 8M, bootrom: 2M, track_dirty: true}\n"
HEAD += "matrix: {gpt: ['2025', '15844']}\nsteps:\n  - create\n"


@pytest.fixture
def run(cli, vm_file):
    """Run a scenario; the outcome and the failure of each cell."""

    def results(steps):
        outcome = cli("run", vm_file(HEAD + steps), "--format", "json", "--jobs", "1")
        assert outcome.status in (0, 1), outcome.err
        cells = json.loads(outcome.out)["scenarios"][0]["cells"]
        return [(cell["outcome"], cell["failure"]) for cell in cells]

    return results


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_shows_what_it_says(cli, path):
    done = cli("run", str(path), "--jobs", "1")
    assert done.status == 0, done.out


def test_the_examples_have_every_discipline_and_device():
    text = "".join(path.read_text(encoding="utf-8") for path in EXAMPLES)
    for word in DISCIPLINES:
        assert f"discipline: {word}" in text
    for word in DEVICE_WRITES:
        assert f"device_writes: {word}" in text


def test_a_loss_that_is_not_expected_fails(run):
    lossy = "  - migrate: {discipline: arrived-clean, hops: 2}\n"
    for outcome, failure in run(lossy):
        assert outcome == "lost pages at migrate"
        assert failure["expected"] == "lost: 0"
    assert [failure for _, failure in run(lossy + "    expect: {lost: any}\n")] == [None, None]


@pytest.mark.parametrize("key", ["lost", "sent", "again"])
def test_what_is_expected_is_looked_at(run, key):
    for _, failure in run(f"  - migrate:\n    expect: {{{key}: 7}}\n"):
        assert failure["expected"] == f"{key}: 7"


def test_a_refusal_is_told_and_changes_nothing(run):
    steps = (
        "  - poke: {gpa: 0, value: 0x55}\n"
        "  - migrate: {device_writes: late}\n    expect: EINVAL\n"
        "  - migrate: {discipline: never-reset, device_writes: deferred}\n"
        "    expect: [{when: {gpt: '15844'}, errno: ENOTTY}, {lost: any}]\n"
        "  - peek: {gpa: 0}\n    expect: {value: 0x55}\n"
    )
    outcomes = run(steps)
    assert [failure for _, failure in outcomes] == [None, None]
    assert outcomes[1][0] == "refused EINVAL at migrate"


def test_a_migration_that_is_refused_half_way_changes_nothing(cli, vm_file):
    """Its devices write until the VMM cannot mark it."""
    text = HEAD.replace("'2025', ", "") + (
        "  - migrate: {device_writes: marked, devices: 50}\n    expect: ENOTTY\n"
        "  - peek: {segment: 0, len: 2M}\n    expect: {byte: 0}\n"
    )
    assert cli("run", vm_file(text)).status == 0


def test_what_follows_is_done_where_the_guest_is(run):
    steps = (
        "  - poke: {gpa: 0x5000, value: 0x1234}\n"
        "  - migrate: {writes: 0, discipline: all-first}\n    expect: {fsck: []}\n"
        "  - peek: {gpa: 0x5000}\n    expect: {value: 0x1234, mapped: 1}\n"
        "  - reboot\n"
        "  - migrate: {gpt: '2025', discipline: dirty-only, writes: 0}\n"
        "    expect: {lost: any}\n"
        "  - npt: {gpa: 0, len: 0, operation: GET_TRACK_DIRTY}\n    expect: {returns: 1}\n"
        "  - destroy\n"
    )
    assert [failure for _, failure in run(steps)] == [None, None]


def test_a_panic_of_the_target_is_its_state(cli, vm_file):
    text = (
        "title: t\nvm: {name: v, kernel: {gpt: '14367'}, memory: 1T, bootrom: 2M}\n"
        "steps:\n  - create\n  - migrate: {gpt: '15844'}\n"
        "    expect: {panic: C, memmap: [{gpa: 0, len: 3G, segment: 0},"
        " {gpa: 0xffe00000, len: 2M, segment: 1, prot: r-x}]}\n"
    )
    assert cli("run", vm_file(text)).status == 0


def test_what_is_recorded_can_be_replayed(cli, vm_file, tmp_path):
    one = HEAD.replace("['2025', '15844']", "['2025']")
    text = one + "  - migrate: {discipline: dirty-only}\n  - reboot\n"
    done = cli("trace", "--format=replay", "--", "run", vm_file(text), "--jobs", "1")
    assert done.status == 0
    operations = [json.loads(line) for line in done.out.splitlines()]
    kinds = [operation["op"] for operation in operations]
    assert kinds.count("create") == 2
    assert "hold" in kinds[: kinds.index("create", 1)]  # what its devices did to the source
    file = tmp_path / "ops.jsonl"
    file.write_text(done.out)
    assert all("error" not in json.loads(line) for line in cli("replay", str(file)).out.split())


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("discipline: best", "'best' is not known: expected one of all-first"),
        ("device_writes: quickly", "'quickly' is not known"),
        ("rounds: 0", "0: expected 1 to 64"),
        ("writes: -1", "-1: expected 0 to 10000"),
        ("writes: 10000, rounds: 64", "650000 writes in all rounds: expected 0 to 100000"),
        ("devices: 101", "101: expected 0 to 100"),
        ("hops: 9", "9: expected 1 to 8"),
        ("seed: x", "'x' is not an integer"),
        ("fail_after: 2", "'2' is no round: expected 1 to 1, or paused"),
        ("fail_after: never", "'never' is no round"),
        ("gpt: '1'", "gpt"),
        ("speed: 1", "unknown key 'speed'"),
    ],
)
def test_mistakes_are_said_where_they_are(cli, vm_file, keys, said):
    text = HEAD + f"  - migrate: {{{keys}}}\n"
    done = cli("run", vm_file(text))
    assert done.status == 2
    assert said in done.err
    assert ":6:" in done.err
    assert done.err.count("\n") == 1
    if "rounds" not in said and "1 to 1," not in said:  # a schema cannot multiply
        schema = json.loads(cli("schema", "scenario").out)
        document = json.loads(json.dumps(yaml.safe_load(text)))
        assert not jsonschema.Draft7Validator(schema).is_valid(document)


@pytest.mark.parametrize("step", ["migrate", "migrate:", "migrate: {}"])
def test_a_bare_step_is_all_defaults(cli, vm_file, step):
    text = HEAD + f"  - {step}\n"
    assert cli("run", vm_file(text)).status == 0
    schema = json.loads(cli("schema", "scenario").out)
    jsonschema.validate(json.loads(json.dumps(yaml.safe_load(text))), schema)
