"""HTML that cannot hold what it should not: text is escaped unless it was made here."""

from __future__ import annotations

import html
import json
from typing import Any

from bhyvesim.text import clean, clean_json

_EMPTY = ("br", "col")  # elements without an end


class Html(str):
    """Markup; any other string is text."""

    __slots__ = ()


def text(content: str) -> Html:
    """*content* as text, on one line, with nothing that a browser obeys."""
    return Html(html.escape(clean(content)))


def lines(content: str) -> Html:
    """:func:`text` of each line of *content*."""
    return Html("\n".join(text(line) for line in content.splitlines()))


def tag(name: str, *children: str, **attributes: str | int | bool | None) -> Html:
    """An element; of attributes, False and None are left out and ``_`` stands for ``-``.

    >>> tag("p", "a < b", tag("b", "!"), class_="note")
    '<p class="note">a &lt; b<b>!</b></p>'
    """
    inner = "".join(child if isinstance(child, Html) else text(child) for child in children)
    end = "" if name in _EMPTY else f"</{name}>"
    return Html(f"<{name}{''.join(map(_attribute, attributes.items()))}>{inner}{end}")


def join(*parts: str) -> Html:
    """Elements and text, one after the other."""
    return Html("".join(part if isinstance(part, Html) else text(part) for part in parts))


def script_json(value: Any) -> Html:
    """JSON that may stand in a script element: nothing in it ends that, or begins another."""
    document = clean_json(json.dumps(value, separators=(",", ":")))
    for character in "<>&":
        document = document.replace(character, f"\\u{ord(character):04x}")
    return Html(document)


def _attribute(pair: tuple[str, str | int | bool | None]) -> str:
    name, value = pair
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{text(str(value))}"'
