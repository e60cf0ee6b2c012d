r"""Regular expressions whose search ends: time grows with the pattern times the text, no faster.

The standard library's engine goes back and tries again, so that a pattern of ten characters can
keep it busy for years. Here all ways through the pattern are followed at once, a character of
the text at a time. What is understood means what it means to ``re``; what could not be followed
so (``\1``, ``(?=…)``, flags) is refused. No text is captured: the question is whether it is found.

>>> compile(r"ptes\[i\] == 0x[0-9a-f]+").found_in("assertion failed: ptes[i] == 0x67")
True
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bhyvesim import limits
from bhyvesim.errors import BadValue, UsageError
from bhyvesim.units import shorten

_DEEPEST = 50
_CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_HEX = {"x": 2, "u": 4, "U": 8}

Test = Callable[[str], bool]  # of one character
Place = Callable[[str, int], bool]  # of a text, between two characters


def _word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _edge(text: str, at: int) -> bool:
    before = at > 0 and _word(text[at - 1])
    return before != (at < len(text) and _word(text[at]))


def _not(test: Test) -> Test:
    return lambda character: not test(character)


_CLASSES: dict[str, Test] = {"d": str.isdecimal, "s": str.isspace, "w": _word}
_CLASSES |= {name.upper(): _not(test) for name, test in _CLASSES.items()}
_PLACES: dict[str, Place] = {
    "A": lambda text, at: at == 0,
    "Z": lambda text, at: at == len(text),
    "b": _edge,
    "B": lambda text, at: not _edge(text, at),
    "$": lambda text, at: at == len(text) or (at == len(text) - 1 and text[at] == "\n"),
}
_PLACES["^"] = _PLACES["A"]


class _Part(NamedTuple):
    """A part of a pattern, and how many states it takes.

    One of: a ``test``, a ``place``, the ``parts`` of a sequence or (``either``) of a choice,
    or its one part ``least`` to ``most`` times (None: any number).
    """

    states: int
    test: Test | None = None
    place: Place | None = None
    parts: tuple[_Part, ...] = ()
    either: bool = False
    least: int = 1
    most: int | None = 1


class _State(NamedTuple):
    """One place in the pattern: after a character of *test*, or at once (at *place*), to *out*."""

    test: Test | None
    place: Place | None
    out: tuple[int, ...]


_END = -1


class Pattern:
    """A compiled pattern; ``pattern`` is its text."""

    __slots__ = ("_start", "_states", "pattern")

    def __init__(self, pattern: str, states: list[_State], start: int) -> None:
        self.pattern = pattern
        self._states = states
        self._start = start

    def __reduce__(self) -> tuple[Callable[[str], Pattern], tuple[str]]:
        return compile, (self.pattern,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and other.pattern == self.pattern

    def __hash__(self) -> int:
        return hash(self.pattern)

    def found_in(self, text: str) -> bool:
        """Whether it is found anywhere in *text*. Raises UsageError for one that is too long."""
        refused = limits.PATTERN_TEXT.refusal(len(text))
        if refused is not None:
            raise UsageError(
                f"{shorten(self.pattern)} in a text of {refused[0]}: expected {refused[1]}"
            )
        waiting: set[int] = set()
        for at in range(len(text) + 1):
            waiting.add(self._start)
            here = self._closure(waiting, text, at)
            if _END in here:
                return True
            if at == len(text):
                break
            character = text[at]
            waiting = set()
            for number in here:
                state = self._states[number]
                if state.test is not None and state.test(character):
                    waiting.update(state.out)
        return False

    def _closure(self, states: set[int], text: str, at: int) -> set[int]:
        """The states that can be reached from *states* without a character."""
        seen: set[int] = set()
        stack = list(states)
        while stack:
            number = stack.pop()
            if number in seen:
                continue
            seen.add(number)
            if number == _END:
                break
            test, place, out = self._states[number]
            if test is None and (place is None or place(text, at)):
                stack.extend(out)
        return seen


def compile(pattern: str) -> Pattern:
    """The pattern that *pattern* is. Raises BadValue for what is malformed, or past a limit."""
    refused = limits.PATTERN.refusal(len(pattern))
    if refused is not None:
        raise BadValue(f"a pattern of {refused[0]}", refused[1])
    part = _Parser(pattern).whole()
    states: list[_State] = []
    start = _built(part, _END, states)
    return Pattern(pattern, states, start)


class _Parser:
    """Recursive descent over the characters of a pattern."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def whole(self) -> _Part:
        part = self._choice()
        if self._at < len(self._text):
            raise self._wrong("a ')' too many", "a '(' before it")
        return part

    def _wrong(self, what: str, expected: str = "a regular expression") -> BadValue:
        column = min(self._at, len(self._text)) + 1
        return BadValue(f"{shorten(self._text)}: column {column}: {what}", expected)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self, expected: str) -> str:
        character = self._peek()
        if not character:
            raise self._wrong("the pattern ends", expected)
        self._at += 1
        return character

    def _taken(self, word: str) -> bool:
        if not self._text.startswith(word, self._at):
            return False
        self._at += len(word)
        return True

    def _choice(self) -> _Part:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._wrong("too deeply nested", f"at most {_DEEPEST} levels")
        parts = [self._sequence()]
        while self._taken("|"):
            parts.append(self._sequence())
        self._depth -= 1
        if len(parts) == 1:
            return parts[0]
        return self._within(_Part(1 + _states(parts), parts=tuple(parts), either=True))

    def _sequence(self) -> _Part:
        parts: list[_Part] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))
        return self._within(_Part(1 + _states(parts), parts=tuple(parts)))

    def _within(self, part: _Part) -> _Part:
        if part.states > limits.PATTERN_STATES.most:
            raise self._wrong(f"{part.states} states up to here", str(limits.PATTERN_STATES))
        return part

    def _atom(self) -> _Part:
        if self._at_counts():
            raise self._wrong("nothing to repeat", "something before it")
        character = self._next("a character")
        if character == ".":
            return _Part(1, test=lambda other: other != "\n")
        if character in "^$":
            return _Part(1, place=_PLACES[character])
        if character == "(":
            return self._group()
        if character == "[":
            return _Part(1, test=self._set())
        if character == "\\":
            return self._escape()
        return _Part(1, test=character.__eq__)

    def _group(self) -> _Part:
        if self._peek() == "?" and not self._taken("?:"):
            raise self._wrong(
                f"{shorten('(' + self._text[self._at : self._at + 2])} is not understood",
                "(…) or (?:…)",
            )
        part = self._choice()
        if not self._taken(")"):
            raise self._wrong("the pattern ends", "a ')'")
        return part

    def _repeated(self, part: _Part) -> _Part:
        counts = self._counts()
        if counts is None:
            return part
        least, most = counts
        if part.place is not None:
            raise self._wrong("a place is repeated", "a character, a set or a group before it")
        self._taken("?")  # the shortest first: found all the same
        if self._at_counts():
            raise self._wrong("a repetition of a repetition", "a group around the first")
        times = max(least, least + 1 if most is None else most)
        whole = _Part(1 + times * (part.states + 1), parts=(part,), least=least, most=most)
        return self._within(whole)

    def _at_counts(self) -> bool:
        before = self._at
        found = self._counts() is not None
        self._at = before
        return found

    def _counts(self) -> tuple[int, int | None] | None:
        """How often, of ``*``, ``+``, ``?`` or ``{least,most}``; None where none stands here."""
        for sign, counts in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._taken(sign):
                return counts
        end = self._text.find("}", self._at)
        if self._peek() != "{" or end < 0:
            return None
        least, comma, most = self._text[self._at + 1 : end].partition(",")
        if not all(one == "" or (one.isascii() and one.isdigit()) for one in (least, most)):
            return None
        if not comma and not least:
            return None
        self._at = end + 1
        low = self._number(least or "0")
        high = low if not comma else self._number(most) if most else None
        if high is not None and high < low:
            raise self._wrong(f"{low} to {high} times", "the smaller number first")
        return low, high

    def _number(self, digits: str) -> int:
        if len(digits) > 6:
            raise self._wrong(f"{shorten(digits)} times", str(limits.PATTERN_STATES))
        return int(digits)

    def _escape(self) -> _Part:
        character = self._peek()
        if character in _CLASSES:
            self._at += 1
            return _Part(1, test=_CLASSES[character])
        if character in ("A", "Z", "b", "B"):
            self._at += 1
            return _Part(1, place=_PLACES[character])
        return _Part(1, test=self._escaped().__eq__)

    def _escaped(self) -> str:
        """The character that an escape, whose backslash was read, stands for."""
        character = self._next("a character after the backslash")
        if character in _CONTROLS:
            return _CONTROLS[character]
        if character in _HEX:
            digits = self._text[self._at : self._at + _HEX[character]]
            if len(digits) < _HEX[character] or not _is_hex(digits) or int(digits, 16) > 0x10FFFF:
                raise self._wrong(f"\\{character} without its digits", "a character's number")
            self._at += len(digits)
            return chr(int(digits, 16))
        if character.isascii() and character.isalnum():
            self._at -= 1
            raise self._wrong(f"\\{character} is not understood", "an escape that is")
        return character

    def _set(self) -> Test:
        negated = self._taken("^")
        tests: list[Test] = []
        while not (self._peek() == "]" and tests):
            tests.append(self._member())
        self._at += 1

        def test(character: str) -> bool:
            return any(one(character) for one in tests) != negated

        return test

    def _member(self) -> Test:
        first = self._one()
        if not self._text.startswith("-", self._at) or self._text[self._at + 1 :][:1] in ("]", ""):
            return first if callable(first) else first.__eq__
        self._at += 1
        last = self._one()
        if callable(first) or callable(last) or last < first:
            raise self._wrong("a range that is none", "two characters, the smaller first")
        low, high = first, last
        return lambda character: low <= character <= high

    def _one(self) -> Test | str:
        character = self._next("a ']'")
        if character != "\\":
            return character
        if self._peek() in _CLASSES:
            return _CLASSES[self._next("")]
        return "\b" if self._taken("b") else self._escaped()


def _is_hex(digits: str) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in digits)


def _states(parts: list[_Part]) -> int:
    return sum(part.states for part in parts)


def _built(part: _Part, after: int, states: list[_State]) -> int:
    """Add the states of *part*, which lead to the state *after*; where they begin."""
    if part.test is not None or part.place is not None:
        return _added(_State(part.test, part.place, (after,)), states)
    if part.either:
        return _added(
            _State(None, None, tuple(_built(one, after, states) for one in part.parts)), states
        )
    if (part.least, part.most) == (1, 1):
        for one in reversed(part.parts):
            after = _built(one, after, states)
        return after
    return _built_repeated(part, after, states)


def _built_repeated(part: _Part, after: int, states: list[_State]) -> int:
    (body,) = part.parts
    if part.most is None:
        loop = _added(_State(None, None, ()), states)
        states[loop] = _State(None, None, (_built(body, loop, states), after))
        begin = loop
    else:
        begin = after
        for _ in range(part.most - part.least):
            begin = _added(_State(None, None, (_built(body, begin, states), after)), states)
    for _ in range(part.least):
        begin = _built(body, begin, states)
    return begin


def _added(state: _State, states: list[_State]) -> int:
    states.append(state)
    return len(states) - 1
