"""Completion as each shell speaks of it: its script, what it asks, how it is answered.

A script runs the program with ``$_BHYVESIM_COMPLETE`` set. bash hands over the line as it
is typed, since it has split it at ``=`` and ``:`` before; zsh and fish the words, the one
under the cursor last. An answer is a line each: ``files``, or ``value`` and what to put in.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

_BREAKS = "\"'@><=;|&(:"  # where bash begins a word anew, but for blanks, if it does not say
_PLAIN = frozenset("_./:=@%+,-")


class Offer(NamedTuple):
    """One way to go on: the whole word, and what it is. With ``files``, the shell knows them.

    Of ``files``, ``value`` is the part of the word that is none of the file's name.
    """

    value: str
    about: str = ""
    files: bool = False


Completer = Callable[[Sequence[str], str], Sequence[Offer]]


class Typed(NamedTuple):
    """The words of a line, the last one perhaps unfinished.

    ``fixed``: how many characters of the last a shell lets stand, since it takes what comes
    after them for the word; ``quote``: the quotation mark that is still open.
    """

    words: list[str]
    fixed: int
    quote: str


def typed(line: str, breaks: str = "") -> Typed:
    """*line* split as a shell does; a word is taken to begin anew after *breaks*."""
    words, word, begun, quote, fixed = [], "", False, "", 0
    escaped = False
    for character in line:
        if escaped:
            # Between quotation marks a backslash stands for itself before most characters.
            word += character if quote != '"' or character in '"\\$`' else f"\\{character}"
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = begun = True
        elif quote:
            quote, word = ("", word) if character == quote else (quote, word + character)
        elif character in "\"'":
            quote, begun, fixed = character, True, len(word)
        elif character.isspace():
            words += [word] if begun else []
            word, begun, fixed = "", False, 0
        else:
            word, begun = word + character, True
            fixed = len(word) if character in breaks else fixed
    return Typed([*words, word], fixed, quote)


def answer(asked: str, argv: Sequence[str], complete: Completer) -> None:
    """Print what *complete* offers, for the shell that *asked* names. Never fails."""
    try:
        shell = SHELLS[asked.removesuffix("_complete")]
        lines = shell.answers(argv, os.environ, complete)
    except Exception:
        return  # Whatever went wrong: somebody is typing, and a message would be in the way.
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _bash(argv: Sequence[str], environment: Mapping[str, str], complete: Completer) -> list[str]:
    line = os.fsencode(environment["COMP_LINE"])[: int(environment["COMP_POINT"])]
    breaks = environment.get("COMP_WORDBREAKS", _BREAKS)
    now = typed(line.decode(errors="replace"), breaks)
    lines = []
    for offer in complete(now.words[1:-1], now.words[-1]):
        if offer.files:
            lines.append("files")
        else:
            lines.append(f"value\t{_quoted(offer.value[now.fixed :], now.quote)}")
    return lines


def _quoted(text: str, quote: str) -> str:
    """*text* so that bash takes it as it is; after *quote*, if that is open."""
    if quote == "'":
        return text.replace("'", "'\\''")
    if quote:
        return "".join(f"\\{c}" if c in '"\\$`' else c for c in text)
    return "".join(c if c.isalnum() or c in _PLAIN else f"\\{c}" for c in text)


def _zsh(argv: Sequence[str], environment: Mapping[str, str], complete: Completer) -> list[str]:
    lines = []
    for offer in complete(argv[1:-1], argv[-1]):
        # _describe takes a colon for the end of the word.
        value = offer.value.replace("\\", "\\\\").replace(":", "\\:")
        lines.append("files" if offer.files else f"value\t{value}{':' * bool(offer.about)}")
        lines[-1] += "" if offer.files else offer.about
    return lines


def _fish(argv: Sequence[str], environment: Mapping[str, str], complete: Completer) -> list[str]:
    now = typed(argv[-1]).words[-1]
    return [
        f"files\t{offer.value}\t{now.removeprefix(offer.value)}"
        if offer.files
        else f"value\t{offer.value}\t{offer.about}"
        for offer in complete(argv[1:-1], now)
    ]


class Shell(NamedTuple):
    """A shell: the script that it sources, and how its questions are answered."""

    script: str
    answers: Callable[[Sequence[str], Mapping[str, str], Completer], list[str]]


_BASH_SCRIPT = r"""_bhyvesim_completion() {
    local kind value
    COMPREPLY=()
    while IFS=$'\t' read -r kind value; do
        if [[ $kind == files ]]; then
            compopt -o default
        elif [[ $kind == value ]]; then
            COMPREPLY+=("$value")
        fi
    done < <(
        _BHYVESIM_COMPLETE=bash_complete COMP_LINE=$COMP_LINE COMP_POINT=$COMP_POINT \
            COMP_WORDBREAKS=$COMP_WORDBREAKS "$1" 2>/dev/null
    )
} 2>/dev/null

complete -o nosort -F _bhyvesim_completion bhyvesim
"""

_ZSH_SCRIPT = r"""#compdef bhyvesim

_bhyvesim_completion() {
    local kind value files
    local -a found
    while IFS=$'\t' read -r kind value; do
        if [[ $kind == files ]]; then
            files=yes
        elif [[ $kind == value ]]; then
            found+=("$value")
        fi
    done < <(
        _BHYVESIM_COMPLETE=zsh_complete "${(Q)words[1]}" \
            "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null
    )
    (( $#found )) && _describe -V unsorted found
    if [[ -n $files ]]; then
        compset -P '*='
        _files
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _bhyvesim_completion "$@"
else
    compdef _bhyvesim_completion bhyvesim
fi
"""

_FISH_SCRIPT = r"""function _bhyvesim_completion
    set -l before (commandline -opc)
    set -l now (commandline -ct)
    for line in (env _BHYVESIM_COMPLETE=fish_complete $before[1] $before "$now" 2>/dev/null)
        set -l part (string split \t -- $line)
        switch $part[1]
            case files
                for path in (__fish_complete_path $part[3])
                    echo $part[2]$path
                end
            case value
                printf '%s\t%s\n' $part[2] $part[3]
        end
    end
end

complete --no-files --keep-order --command bhyvesim --arguments '(_bhyvesim_completion)'
"""

SHELLS = {
    "bash": Shell(_BASH_SCRIPT, _bash),
    "zsh": Shell(_ZSH_SCRIPT, _zsh),
    "fish": Shell(_FISH_SCRIPT, _fish),
}
