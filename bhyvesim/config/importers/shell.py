"""Shell scripts as words and operators: quotes, expansions, here-documents; nothing is run."""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import groupby
from typing import Literal, NamedTuple

from bhyvesim.config.importers.source import Source

_BLANK, _META = " \t", ";&|()<>\n"
_OPERATORS = re.compile(r"&>>?|<<<|<<-?|<>|>>|>&|<&|>\||;;|&&|\|\||[;&|()<>\n]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-]", re.ASCII)
_RUN = re.compile(r"""[^ \t;&|()<>\n'"\\$`]+""")
_QUOTED_RUN = re.compile(r"""[^"\\$`]+""")
_BRACED = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*|[0-9@*])\}", re.ASCII)


class Part(NamedTuple):
    """A piece of a word. ``hard`` is an expansion that is more than a plain variable."""

    kind: Literal["text", "variable", "hard"]
    text: str
    quoted: bool


class Word(NamedTuple):
    """A word as it stands, before any expansion."""

    parts: tuple[Part, ...]
    line: int

    @property
    def plain(self) -> str | None:
        """The text of a word without quotes and expansions, such as a reserved word."""
        if all(part.kind == "text" and not part.quoted for part in self.parts):
            return "".join(part.text for part in self.parts)
        return None


class Operator(NamedTuple):
    """``;``, ``&&``, a newline …; a redirection is ``>`` and its target is left out."""

    text: str
    line: int


Token = Word | Operator


def tokens(source: Source, text: str | None = None, line: int = 1) -> list[Token]:
    """The tokens of *text*, which begins on *line*; of the whole source without it.

    Raises ImportProblem for quotes that are never closed.
    """
    return _Lexer(source, source.text if text is None else text, line).tokens()


class _Lexer:
    def __init__(self, source: Source, text: str, line: int) -> None:
        self.source = source
        self.text = text
        self.at = 0
        self.first_line = line
        self.breaks = [i for i, c in enumerate(text) if c == "\n"]
        self.here: list[tuple[str, bool]] = []  # delimiters of here-documents yet to come
        self.found: list[Token] = []

    def line(self) -> int:
        return self.first_line + bisect_right(self.breaks, self.at - 1)

    def tokens(self) -> list[Token]:
        while self.at < len(self.text):
            c = self.text[self.at]
            if c in _BLANK:
                self.at += 1
            elif self.text.startswith("\\\n", self.at):
                self.at += 2
            elif c == "#":
                self.at = self._find("\n", self.at)
            elif c in _META:
                self._operator()
            else:
                self.found.append(self._word())
        return self.found

    def _find(self, what: str, start: int) -> int:
        """Where *what* stands next, or the end."""
        found = self.text.find(what, start)
        return len(self.text) if found < 0 else found

    def _operator(self) -> None:
        match = _OPERATORS.match(self.text, self.at)
        assert match is not None  # _META is what operators begin with
        operator = match[0]
        line = self.line()
        self.at = match.end()
        if "<" in operator or ">" in operator:
            self._redirection(operator)
            return
        self.found.append(Operator(operator, line))
        if operator == "\n":
            self._skip_here_documents()

    def _redirection(self, operator: str) -> None:
        """Leave out the target, and the number of the file before the operator."""
        last = self.found[-1] if self.found else None
        before = self.text[self.at - len(operator) - 1 : self.at - len(operator)]
        if isinstance(last, Word) and before.isdigit() and (last.plain or "").isdigit():
            self.found.pop()
        while self.at < len(self.text) and self.text[self.at] in _BLANK:
            self.at += 1
        if self.text.startswith("(", self.at):  # <(a process)
            self._skip_nested()
            return
        target = self._word()
        if operator in ("<<", "<<-"):
            text = "".join(part.text for part in target.parts)
            self.here.append((text, operator == "<<-"))

    def _skip_here_documents(self) -> None:
        for delimiter, tabs in self.here:
            while self.at < len(self.text):
                end = self._find("\n", self.at)
                line = self.text[self.at : end]
                self.at = min(end + 1, len(self.text))
                if (line.lstrip("\t") if tabs else line) == delimiter:
                    break
        self.here.clear()

    def _word(self) -> Word:
        line = self.line()
        parts: list[Part] = []
        while self.at < len(self.text) and self.text[self.at] not in _BLANK + _META:
            c = self.text[self.at]
            if c == "'":
                end = self._closing("'", self.at + 1)
                parts.append(Part("text", self.text[self.at + 1 : end], True))
                self.at = end + 1
            elif c == '"':
                self.at += 1
                self._quoted(parts)
            elif c == "\\":
                if self.text[self.at + 1 : self.at + 2] != "\n":
                    parts.append(Part("text", self.text[self.at + 1 : self.at + 2], True))
                self.at += 2
            elif c in "$`":
                parts.append(self._expansion(quoted=False))
            else:
                parts.append(self._run(_RUN, quoted=False))
            if self._opens_an_array(parts):
                start = self.at
                self._skip_nested()
                parts.append(Part("hard", self.text[start : self.at], False))
        return Word(_joined(parts), line)

    def _run(self, pattern: re.Pattern[str], *, quoted: bool) -> Part:
        """The characters up to the next that means something."""
        match = pattern.match(self.text, self.at)
        assert match is not None  # the callers have seen to the characters that mean something
        self.at = match.end()
        return Part("text", match[0], quoted)

    def _opens_an_array(self, parts: list[Part]) -> bool:
        if not parts or not self.text.startswith("(", self.at):
            return False
        return parts[-1].kind == "text" and not parts[-1].quoted and parts[-1].text[-1:] == "="

    def _quoted(self, parts: list[Part]) -> None:
        """The inside of double quotes, the closing one included."""
        line = self.line()
        parts.append(Part("text", "", True))
        while (c := self.text[self.at : self.at + 1]) != '"':
            if not c:
                raise self.source.problem(line, 'a " that is never closed', "another one")
            if c == "\\":
                escaped = self.text[self.at + 1 : self.at + 2]
                kept = "" if escaped == "\n" else escaped if escaped in '"\\$`' else "\\" + escaped
                parts.append(Part("text", kept, True))
                self.at += 2
            elif c in "$`":
                parts.append(self._expansion(quoted=True))
            else:
                parts.append(self._run(_QUOTED_RUN, quoted=True))
        self.at += 1

    def _closing(self, quote: str, start: int) -> int:
        end = self.text.find(quote, start)
        if end < 0:
            raise self.source.problem(self.line(), f"a {quote} that is never closed", "another one")
        return end

    def _expansion(self, *, quoted: bool) -> Part:
        """``$NAME``, ``${NAME}``; all else that begins with ``$`` or a backtick is hard."""
        start = self.at
        if self.text[start] == "`":
            self.at = self._closing("`", start + 1) + 1
            return Part("hard", self.text[start : self.at], quoted)
        self.at += 1
        name = _NAME.match(self.text, self.at) or _BRACED.match(self.text, self.at)
        if name is not None:
            self.at = name.end()
            return Part("variable", name[1] if name.re is _BRACED else name[0], quoted)
        if self.text.startswith(("(", "{"), self.at):
            self._skip_nested()
            return Part("hard", self.text[start : self.at], quoted)
        return Part("text", "$", quoted)

    def _skip_nested(self) -> None:
        """Go past the bracket that closes the one here; quotes inside hide brackets."""
        depth, line = 0, self.line()
        while self.at < len(self.text):
            c = self.text[self.at]
            if c == "'":
                self.at = self._closing("'", self.at + 1)
            elif c == "\\":
                self.at += 1
            depth += (c in "({") - (c in ")}")
            self.at += 1
            if depth == 0:
                return
        raise self.source.problem(line, "a bracket that is never closed", "its other half")


def _joined(parts: list[Part]) -> tuple[Part, ...]:
    """*parts* with neighbouring texts run together."""
    joined: list[Part] = []
    for (kind, quoted), group in groupby(parts, lambda part: (part.kind, part.quoted)):
        if kind == "text":
            joined.append(Part("text", "".join(part.text for part in group), quoted))
        else:
            joined += group
    return tuple(joined)
