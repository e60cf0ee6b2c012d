"""Values: what a frozen dataclass is to whoever has one."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Mapping

import pytest

from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.values import Value


class Point(Value):
    x: int
    names: Mapping[str, int] = {"a": 1}
    y: int = 0


class Other(Value):
    x: int
    y: int = 0


POINT = Point(1, {"b": 2}, y=3)


def test_it_is_made_of_its_arguments():
    assert (POINT.x, POINT.names, POINT.y) == (1, {"b": 2}, 3)
    assert Point(1) == Point(1, {"a": 1}, 0) != POINT
    assert Point(1) != Other(1)
    assert hash(Other(1)) == hash(Other(1, 0)) != hash(Other(2))
    assert repr(Other(1)) == "Other(x=1, y=0)"
    assert POINT.named() == {"x": 1, "names": {"b": 2}, "y": 3}


@pytest.mark.parametrize(
    ("args", "named"),
    [((), {}), ((), {"y": 1}), ((1, {}, 2, 3), {}), ((1,), {"x": 1}), ((1,), {"z": 1})],
)
def test_arguments_that_do_not_fit_are_refused(args, named):
    with pytest.raises(TypeError, match="Point takes x, names, y"):
        Point(*args, **named)


def test_it_is_frozen():
    with pytest.raises(AttributeError, match="frozen"):
        POINT.x = 2
    with pytest.raises(AttributeError, match="frozen"):
        del POINT.x


def test_what_dataclasses_do_with_it():
    assert dataclasses.is_dataclass(POINT)
    assert dataclasses.replace(POINT, x=5) == POINT.but(x=5) == Point(5, {"b": 2}, 3)
    assert dataclasses.asdict(POINT) == {"x": 1, "names": {"b": 2}, "y": 3}
    x, names, y = dataclasses.fields(Point)
    assert (x.name, x.type, x.default) == ("x", "int", dataclasses.MISSING)
    assert names.default_factory() == {"a": 1}
    assert (y.name, y.default) == ("y", 0)
    with pytest.raises(TypeError):
        dataclasses.replace(POINT, z=1)


def test_a_dataclass_may_be_made_of_it():
    @dataclasses.dataclass(frozen=True)
    class Deep(Other):
        z: int = 9

    assert dataclasses.asdict(Deep(1, 2)) == {"x": 1, "y": 2, "z": 9}
    assert Deep(1, 2) == Deep(1, 2, 9)


def test_it_is_matched_by_place():
    match POINT:
        case Point(x, _, y):
            assert (x, y) == (1, 3)
        case _:
            pytest.fail("no match")


def test_it_is_copied_and_sent():
    for again in (copy.copy(POINT), copy.deepcopy(POINT), pickle.loads(pickle.dumps(POINT))):
        assert again == POINT


@pytest.mark.parametrize("name", list(REVISIONS)[:6])
def test_a_revision_can_be_another_and_be_sent(name):
    other = dataclasses.replace(REVISIONS[name], name="x")
    assert (other.name, other.functions) == ("x", REVISIONS[name].functions)
    assert copy.deepcopy(other.offsets) == other.offsets
    assert pickle.loads(pickle.dumps(other)) == other
    assert dataclasses.asdict(other)["name"] == "x"
