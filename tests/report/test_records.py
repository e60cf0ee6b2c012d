"""Records become JSON documents, and their types the schema of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

import jsonschema
import pytest

from bhyvesim.report.model import Hex, Note, one_of, plain
from bhyvesim.values import Value
from tools.schemas import schema_of

Colour = Annotated[str, one_of(("red", "green"))]


class Dot(NamedTuple):
    """A dot."""

    x: int
    colour: Annotated[Colour | None, Note(meaning="Null: black.")]


class Drawing(Value):
    """What is drawn, ``name`` first."""

    of_: str
    dots: tuple[Dot, ...]
    first: Dot | None
    pair: tuple[int, Hex]
    facts: dict[str, int]
    wide: float | None

    KEYS: ClassVar[Mapping[str, str]] = {"of_": "of"}
    ABSENT: ClassVar[Sequence[str]] = ("wide",)


@dataclass(frozen=True, slots=True)
class Framed:
    """A drawing in a frame."""

    drawing: Drawing
    notes: list[Any]


DOT = Dot(1, "red")
DRAWING = Drawing("a", (DOT,), None, (1, "0x1"), {"n": 1}, None)


def test_a_record_is_its_fields_under_their_keys():
    assert plain(Framed(DRAWING, [DOT, "x"])) == {
        "drawing": {
            "of": "a",
            "dots": [{"x": 1, "colour": "red"}],
            "first": None,
            "pair": [1, "0x1"],
            "facts": {"n": 1},
        },
        "notes": [{"x": 1, "colour": "red"}, "x"],
    }


def test_a_document_is_as_its_schema_says():
    jsonschema.Draft7Validator.check_schema(schema_of(Framed))
    validator = jsonschema.Draft7Validator(schema_of(Framed))
    for drawing in (DRAWING, Drawing("a", (), DOT, (1, "0x1"), {}, 0.5)):
        validator.validate(plain(Framed(drawing, [])))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("of", None),
        ("dots", [{"x": 1}]),
        ("dots", [{"x": 1, "colour": "blue"}]),
        ("first", 1),
        ("pair", [1]),
        ("pair", [1, "1"]),
        ("facts", {"n": "1"}),
        ("wide", None),
    ],
)
def test_what_is_of_another_type_is_refused(key, value):
    document = {**plain(DRAWING), key: value}
    assert not jsonschema.Draft7Validator(schema_of(Drawing)).is_valid(document)


def test_meanings_are_docstrings_and_notes():
    schema = schema_of(Drawing)
    assert schema["description"] == "What is drawn, `name` first."
    assert schema["required"] == ["of", "dots", "first", "pair", "facts"]
    colour = schema["properties"]["dots"]["items"]["properties"]["colour"]
    assert colour == {
        "type": ["string", "null"],
        "enum": ["red", "green", None],
        "description": "Null: black.",
    }


def test_several_notes_are_one():
    both = Annotated[Colour, Note(meaning="Of the dot.")]
    noted = {"type": "string", "enum": ["red", "green"], "description": "Of the dot."}
    assert schema_of(both) == noted
