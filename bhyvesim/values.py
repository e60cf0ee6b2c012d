"""Frozen values that cost nothing to define.

What a frozen dataclass is, ``dataclasses.replace`` and its like included, without the code that
one has generated and compiled: half a millisecond a class, for which every command would wait,
whether it uses the class or not.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Self, dataclass_transform


class _Made:
    """What ``dataclasses`` asks a class for, made when it does: it costs 8 ms to import."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, value: object, cls: Any) -> Any:
        return getattr(_dataclass_of(cls), self._name)


@cache
def _dataclass_of(cls: Any) -> Any:
    """A frozen dataclass of the same fields."""
    from dataclasses import field, make_dataclass

    fields = []
    for name in cls.arguments:
        default = getattr(cls, name, field())
        made = default if default.__hash__ is not None else field(default_factory=default.copy)
        fields.append((name, cls.kinds[name], made))
    return make_dataclass(cls.__name__, fields, frozen=True)


@dataclass_transform(frozen_default=True)
class Value:
    """The annotated attributes of its classes, bases first, are the arguments, in that order.

    >>> class Point(Value):
    ...     x: int
    ...     y: int = 0
    >>> Point(1), Point(1) == Point(x=1, y=0)
    (Point(x=1, y=0), True)
    """

    __dataclass_fields__ = _Made("__dataclass_fields__")
    __dataclass_params__ = _Made("__dataclass_params__")
    arguments: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[dict[str, Any]] = {}  # the annotation of each
    _known: ClassVar[frozenset[str]]
    _needed: ClassVar[frozenset[str]]

    def __init_subclass__(cls) -> None:
        notes = cls.__annotations__  # its own, not its bases'
        own = {name: kind for name, kind in notes.items() if "ClassVar" not in str(kind)}
        cls.kinds = {**cls.kinds, **own}
        cls.arguments = tuple(cls.kinds)
        type.__setattr__(cls, "__match_args__", cls.arguments)
        cls._known = frozenset(cls.arguments)
        cls._needed = frozenset(name for name in cls.arguments if not hasattr(cls, name))

    def __init__(self, *args: Any, **named: Any) -> None:
        given = self.__dict__  # round __setattr__, which refuses
        given.update(zip(self.arguments, args, strict=False))
        if named or len(args) != len(self.arguments):
            given.update(named)
            whole = len(given) == len(args) + len(named)
            if not (whole and self._needed <= given.keys() <= self._known):
                raise TypeError(f"{type(self).__name__} takes {', '.join(self.arguments)}")
        self.check()

    def check(self) -> None:
        """Raises where the arguments do not fit each other."""

    def values(self) -> tuple[Any, ...]:
        """The arguments, in order."""
        return tuple(getattr(self, name) for name in self.arguments)

    def named(self) -> dict[str, Any]:
        """The arguments by name, in order."""
        return dict(zip(self.arguments, self.values(), strict=True))

    def but(self, **changes: Any) -> Self:
        """The same with other values for the arguments that are named."""
        return type(self)(**{**self.__dict__, **changes})

    __replace__ = but  # for copy.replace, from Python 3.13 on

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        assert isinstance(other, Value)
        return self.values() == other.values()

    def __hash__(self) -> int:
        return hash((type(self), self.values()))

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self.arguments)
        return f"{type(self).__name__}({', '.join(shown)})"
