"""The commands of a shell script, each with the blocks that it stands in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bhyvesim import limits
from bhyvesim.config.importers.shell import Operator, Token, Word

Path = tuple[int, ...]  # the blocks around, outermost first; each has a number of its own

_OPENING, _CLOSING = {"then", "do", "else"}, {"fi", "done", "else", "elif", "esac", "}"}
_BEFORE_A_COMMAND = {"if", "while", "until", "!", "elif", *_OPENING}


class Command(NamedTuple):
    """A simple command. ``in_function``: it may run several times, and after what follows it."""

    words: list[Word]
    path: Path
    in_function: bool

    @property
    def line(self) -> int:
        return self.words[0].line


class _Block(NamedTuple):
    number: int | None  # None: what stands in it always runs, as between plain braces
    is_function: bool = False


def commands(tokens: Sequence[Token]) -> list[Command]:
    """The commands in order. Blocks that are not closed, or not opened, do no harm."""
    grouper = _Grouper()
    for token in [*tokens, Operator("\n", 0)]:
        grouper.take(token)
    return grouper.found


class TooDeep(Exception):
    """More blocks in each other than anybody writes."""


class _Grouper:
    def __init__(self) -> None:
        self.found: list[Command] = []
        self.words: list[Word] = []
        self.blocks: list[_Block] = []
        self.count = 0
        self.condition: int | None = None  # of the command after && or ||
        self.names_function = False
        self.case: list[str] = []  # of every open case: "word", "pattern" or "arm"

    def take(self, token: Token) -> None:
        if self.case and self.case[-1] != "arm" and self._in_case_head(token):
            return
        if isinstance(token, Operator):
            self._operator(token.text)
        elif self.words or not self._reserved(token.plain):
            self.words.append(token)

    def _in_case_head(self, token: Token) -> bool:
        """Whether *token* belongs to ``case WORD in`` or to the pattern of an arm."""
        plain = token.plain if isinstance(token, Word) else token.text
        if plain == "esac":
            self.case.pop()
        elif self.case[-1] == "word" and plain == "in":
            self.case[-1] = "pattern"
        elif self.case[-1] == "pattern" and plain == ")":
            self.case[-1] = "arm"
            self._open()
        return True

    def _operator(self, text: str) -> None:
        if text == "(" and len(self.words) == 1:  # NAME()
            self.words.clear()
            self.names_function = True
            return
        self._end()
        if text == "(":
            self._open()
        elif text == ")" and self.names_function:
            return
        elif text == ")":
            self._close()
        elif text == ";;" and self.case:
            self._close()
            self.case[-1] = "pattern"
        elif text in ("&&", "||"):
            self.condition = self._number()

    def _end(self) -> None:
        """The words so far are a command."""
        if self.words:
            numbers = [block.number for block in self.blocks] + [self.condition]
            path = tuple(number for number in numbers if number is not None)
            in_function = any(block.is_function for block in self.blocks)
            self.found.append(Command(self.words, path, in_function))
            self.words = []
            self.condition = None

    def _reserved(self, word: str | None) -> bool:
        """Whether *word* opens or closes a block, or stands in front of a command."""
        if word == "case":
            self.case.append("word")
        elif word == "function":
            self.names_function = True
            return False
        elif word == "{":
            self._open(always=not self.names_function)
        elif word in _CLOSING or word in _BEFORE_A_COMMAND:
            if word in _CLOSING:
                self._close()
            if word == "esac" and self.case:
                self.case.pop()
            if word in _OPENING:
                self._open()
        else:
            return False
        return True

    def _open(self, *, always: bool = False) -> None:
        if len(self.blocks) >= limits.BLOCKS.most:
            raise TooDeep
        self.blocks.append(_Block(None if always else self._number(), self.names_function))
        self.names_function = False

    def _close(self) -> None:
        if self.blocks:
            self.blocks.pop()

    def _number(self) -> int:
        self.count += 1
        return self.count
