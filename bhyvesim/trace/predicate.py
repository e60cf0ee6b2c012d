"""Predicates, as D writes them: comparisons of integers and strings, with ``&&``, ``||``, ``!``.

They bind as in C, and a comparison is worth 1 or 0. Besides what D has, a number may be a size
(``4G``); octal ones are refused, as ``010`` is 10 to most.

>>> wanted = parse("start == 0xffe00000 && !(len < 4)", {"start": int, "len": int})
>>> wanted({"start": 0xffe00000, "len": 4096})
True
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from bhyvesim import limits
from bhyvesim.errors import BadValue
from bhyvesim.units import parse_size, shorten

Value = int | str
Values = Mapping[str, Value]
Atom = int | str  # a number, or the name of one

_TOKEN = re.compile(
    r'\s*(?:(?P<number>[0-9]\w*)|(?P<name>[A-Za-z_]\w*)|"(?P<string>[^"]*)"'
    r"|(?P<sign>&&|\|\||[=!<>]=|[<>!()-]))"
)
_OCTAL = re.compile(r"0[0-9]+", re.ASCII)
_EQUAL: Mapping[str, Callable[[Any, Any], bool]] = {"==": operator.eq, "!=": operator.ne}
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class _Term(NamedTuple):
    """A part of an expression: how to evaluate it, its type, and the atom that it is, if any."""

    of: Callable[[Values], Value]
    kind: type
    column: int
    atom: Atom | None = None


class Predicate(NamedTuple):
    """What a text says of values by name; KeyError where one that decides is not there.

    ``pairs`` are the numbers that are compared with each other: where none of them crosses
    the other, the truth stays as it is.
    """

    text: str
    names: frozenset[str]
    pairs: tuple[tuple[Atom, Atom], ...]
    truth: Callable[[Values], Value]

    def __call__(self, values: Values) -> bool:
        return bool(self.truth(values))


def parse(text: str, names: Mapping[str, type]) -> Predicate:
    """The predicate *text*, of the *names*, each an ``int`` or a ``str``.

    Raises BadValue, with the column where it goes wrong.
    """
    refused = limits.PREDICATE.refusal(len(text))
    if refused is not None:
        raise BadValue(f"a predicate of {refused[0]}", refused[1])
    parser = _Parser(text, names)
    term = parser.whole()
    return Predicate(text.strip(), frozenset(parser.used), tuple(parser.pairs), term.of)


class _Token(NamedTuple):
    kind: str  # number, name, string, sign; or end
    text: str
    column: int  # from 1 on


def _tokens(text: str) -> list[_Token]:
    tokens, at = [], 0
    end = len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            expected = "'=='" if text[at] == "=" else "an operator or a value"
            raise _wrong(text, at + 1, f"{shorten(text[at])} has no meaning", expected)
        kind = found.lastgroup or ""
        tokens.append(_Token(kind, found[kind], found.start(kind) + 1 - (kind == "string")))
        at = found.end()
    return [*tokens, _Token("end", "", end + 1)]


def _wrong(text: str, column: int, problem: str, expected: str) -> BadValue:
    return BadValue(f"column {column} of the predicate {shorten(text)}: {problem}", expected)


class _Parser:
    """Recursive descent, an operator's neighbours in one loop; remembers what was compared."""

    def __init__(self, text: str, names: Mapping[str, type]) -> None:
        self.text = text
        self.names = names
        self.used: set[str] = set()
        self.pairs: list[tuple[Atom, Atom]] = []
        self._tokens = iter(_tokens(text))
        self._next = next(self._tokens)
        self._depth = 0

    def whole(self) -> _Term:
        term = self._any()
        if self._next.kind != "end":
            raise self._unexpected("an operator, or the end")
        return self._truth(term)

    def _any(self) -> _Term:
        self._depth += 1
        if self._depth > limits.PREDICATE_DEPTH.most:
            expected = str(limits.PREDICATE_DEPTH)
            raise self._wrong(self._next.column, "too deeply nested", expected)
        term = self._joined("||", self._all, any)
        self._depth -= 1
        return term

    def _all(self) -> _Term:
        return self._joined("&&", self._equality, all)

    def _joined(self, sign: str, part: Callable[[], _Term], join: Callable[..., bool]) -> _Term:
        first = part()
        if not self._at(sign):
            return first
        terms = [self._truth(first)]
        while self._taken(sign):
            terms.append(self._truth(part()))
        parts = [term.of for term in terms]
        return _Term(lambda values: int(join(of(values) for of in parts)), int, first.column)

    def _equality(self) -> _Term:
        return self._compared(_EQUAL, self._relation)

    def _relation(self) -> _Term:
        return self._compared(_ORDER, self._unary)

    def _compared(
        self, signs: Mapping[str, Callable[[Any, Any], bool]], part: Callable[[], _Term]
    ) -> _Term:
        """Comparisons from left to right, as C does them: ``a < b < c`` is ``(a < b) < c``."""
        first = left = part()
        steps: list[tuple[Callable[[Any, Any], bool], Callable[[Values], Value]]] = []
        while (sign := self._next).kind == "sign" and sign.text in signs:
            self._advance()
            right = part()
            self._compare(left, right, sign)
            steps.append((signs[sign.text], right.of))
            left = _Term(first.of, int, first.column)
        return first if not steps else left._replace(of=_chain(first.of, steps))

    def _compare(self, left: _Term, right: _Term, sign: _Token) -> None:
        if left.kind is not right.kind:
            a, b = _KINDS[left.kind], _KINDS[right.kind]
            problem = f"{sign.text!r} between {a} and {b}"
            raise self._wrong(sign.column, problem, f"{a} on both sides, or {b}")
        if left.kind is int:
            for one in _stands(left):
                self.pairs += [(one, other) for other in _stands(right)]

    def _unary(self) -> _Term:
        column, nots = self._next.column, 0
        while self._taken("!"):
            nots += 1
        if not nots:
            return self._value()
        of = self._truth(self._unary()).of
        odd = nots % 2 == 1
        return _Term(lambda values: int(bool(of(values)) is not odd), int, column)

    def _value(self) -> _Term:
        token = self._next
        if self._taken("("):
            term = self._any()
            if not self._taken(")"):
                raise self._unexpected("')' or an operator")
            return term
        minus = self._taken("-")
        if self._next.kind != "number" if minus else self._next.kind in ("sign", "end"):
            raise self._unexpected("a number" if minus else "a name, a number, a string or '('")
        value = self._next
        self._advance()
        if value.kind == "number":
            number = self._number(value, minus)
            return _Term(lambda values: number, int, token.column, number)
        if value.kind == "string":
            return _Term(lambda values: value.text, str, token.column)
        return self._name(value)

    def _number(self, token: _Token, minus: bool) -> int:
        if _OCTAL.fullmatch(token.text):
            problem = f"{shorten(token.text)} would be octal in D"
            raise self._wrong(token.column, problem, "0x8 or 8, without a leading 0")
        try:
            number = parse_size(token.text)
        except BadValue as error:
            problem = error.problem.replace("a size", "a number")
            raise self._wrong(token.column, problem, "4096, 0x1000 or 4K, below 2^64") from None
        return -number if minus else number

    def _name(self, token: _Token) -> _Term:
        name = token.text
        if name not in self.names:
            near = get_close_matches(name[:100], self.names, n=1)
            listed = near or sorted(self.names)
            raise self._wrong(
                token.column, f"there is no {shorten(name)} here", " or ".join(listed)
            )
        self.used.add(name)
        return _Term(lambda values: values[name], self.names[name], token.column, name)

    def _truth(self, term: _Term) -> _Term:
        """*term* where its truth is asked for: of a number, whether it is not 0."""
        if term.kind is not int:
            raise self._wrong(term.column, "a string alone is not true or false", "a comparison")
        if term.atom is not None:
            self.pairs.append((term.atom, 0))
        return term

    def _at(self, sign: str) -> bool:
        return self._next.kind == "sign" and self._next.text == sign

    def _taken(self, sign: str) -> bool:
        if not self._at(sign):
            return False
        self._advance()
        return True

    def _advance(self) -> None:
        self._next = next(self._tokens)

    def _unexpected(self, expected: str) -> BadValue:
        token = self._next
        problem = "it ends here" if token.kind == "end" else f"{shorten(token.text)} stands here"
        return self._wrong(token.column, problem, expected)

    def _wrong(self, column: int, problem: str, expected: str) -> BadValue:
        return _wrong(self.text, column, problem, expected)


_KINDS = {int: "a number", str: "a string"}


def _stands(term: _Term) -> tuple[Atom, ...]:
    """The numbers that *term* may be compared as: what a comparison is worth is 0 or 1."""
    return (0, 1) if term.atom is None else (term.atom,)


def _chain(
    first: Callable[[Values], Value],
    steps: list[tuple[Callable[[Any, Any], bool], Callable[[Values], Value]]],
) -> Callable[[Values], Value]:
    def of(values: Values) -> Value:
        value = first(values)
        for compare, right in steps:
            value = int(compare(value, right(values)))
        return value

    return of
