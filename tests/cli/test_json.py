"""Every JSON document that a command prints, against its published schema."""

from __future__ import annotations

import json

import jsonschema
import pytest

from tests.scenario.test_run import WRONG


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
        assert set(document) == set(published)
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


def test_many_vms_and_reviews(valid, config, vm_file):
    valid("matrix", "matrix", config("testvm"), "--format=json")
    valid("run", "run", vm_file(WRONG), "--format=json", status=1)
    valid("check", "check", config("testvm-13932"), "--format=json", status=1)
    good, bad = vm_file("memory.size=4G\n", "a"), vm_file("x", "b")
    valid("import", "import", "--check", good, bad, "--format=json", status=2)
