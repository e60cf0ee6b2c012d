"""The JSON Schemas and the strict readers agree."""

from __future__ import annotations

import json

import jsonschema
import pytest
import yaml

from bhyvesim.config import vm
from bhyvesim.config.scenario.expectations import STATE
from bhyvesim.config.scenario.matrix import AXES
from bhyvesim.config.scenario.sources import Sources
from bhyvesim.config.scenario.steps import STEPS
from tests.cli.test_errors import BAD_VMS
from tests.conftest import ROOT
from tests.scenario.test_mistakes import HEAD, MISTAKES


def as_json(text):
    """What an editor validates: YAML as JSON, where every key is a string."""
    return json.loads(json.dumps(yaml.safe_load(text)))


SHIPPED_VMS = sorted((ROOT / "configs").glob("*.yaml"))
SHIPPED_SCENARIOS = sorted((ROOT / "examples").rglob("*.yaml"))


@pytest.fixture
def schema(cli):
    def read(kind):
        return json.loads(cli("schema", kind).out)

    return read


@pytest.mark.parametrize(
    ("kind", "files"),
    [("vm", SHIPPED_VMS), ("scenario", SHIPPED_SCENARIOS)],
    ids=["vm", "scenario"],
)
def test_shipped_files_are_valid_and_name_their_schema(schema, kind, files):
    validator = jsonschema.Draft7Validator(schema(kind))
    assert files
    for path in files:
        text = path.read_text(encoding="utf-8")
        validator.validate(as_json(text))
        first, reference = text.splitlines()[0].split("$schema=")
        assert first == "# yaml-language-server: "
        assert (path.parent / reference).resolve().name == f"{kind}.schema.json"
        assert (path.parent / reference).exists()


def test_the_schemas_are_schemas(schema):
    for kind in ("vm", "scenario"):
        jsonschema.Draft7Validator.check_schema(schema(kind))


def _properties(shape):
    """The keys of a mapping, which may be left out as a whole."""
    forms = shape.get("anyOf", [shape])
    return {key for form in forms for key in form.get("properties", ())}


def test_both_know_the_same_keys(schema):
    assert set(schema("vm")["properties"]) == set(vm.KEYS)
    description = schema("scenario")
    assert set(description["properties"]["matrix"]["properties"]) == set(AXES)
    steps = {
        name: _properties(form["properties"][name])
        for form in description["properties"]["steps"]["items"]["anyOf"]
        if "properties" in form
        for name in form["properties"]
        if name in STEPS
    }
    keys = {name: {key.name for key in kind.keys} for name, kind in STEPS.items()}
    assert {name: steps[name] for name in keys if keys[name]} == {
        n: k for n, k in keys.items() if k
    }
    results = {"when", "ok", "errno", "panic", "hang", *STATE}
    results |= {name for kind in STEPS.values() for name in kind.results}
    assert set(description["definitions"]["expect"]["anyOf"][1]["properties"]) == results


# What a schema cannot say: YAML's own matters, sums, encodings, order, other files.
BEYOND = (
    "stands twice",
    "tag",
    "anchor",
    "alias",
    "nested",
    "second document",
    "not YAML",
    "UTF-8",
    "character",
    "bytes",
    "2^64",
    "no page frame",
    "a ROM of",
    "production kernel",
    "the file is empty",
    "not a boolean",
    "0x100 is",
    "1099511627776",
    "'2025' stands",
    "'3-1'",
    "vm: ",
)


@pytest.mark.parametrize(
    "text", [t for t, message in BAD_VMS.items() if not any(b in message for b in BEYOND)]
)
def test_the_schema_refuses_what_the_vm_reader_refuses(schema, text):
    assert not jsonschema.Draft7Validator(schema("vm")).is_valid(as_json(text))


@pytest.mark.parametrize(
    "text", [t for t, message in MISTAKES.items() if not any(b in message for b in BEYOND)]
)
def test_the_schema_refuses_what_the_scenario_reader_refuses(schema, text):
    assert not jsonschema.Draft7Validator(schema("scenario")).is_valid(as_json(text))


def test_the_schema_takes_a_minimal_scenario(schema):
    jsonschema.validate(as_json(HEAD + "steps: [create]\n"), schema("scenario"))


def test_both_take_an_operation_in_octal(schema):
    text = HEAD + "steps: [create, {npt: {gpa: 0, len: 0, operation: 0o40}}]\n"
    jsonschema.validate(as_json(text), schema("scenario"))
    Sources(lambda path: text.encode()).load("octal.yaml")
