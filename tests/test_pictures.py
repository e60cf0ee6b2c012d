"""The pictures in docs/pictures show what their commands print now."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from tools import pictures

_CODES = re.compile(r"\x1b\[[0-9;]*m")
_SVG = "{http://www.w3.org/2000/svg}"


def text_in(svg: str) -> str:
    """The words of the terminal in a picture; how the lines are cut into pieces is rich's."""
    (terminal,) = (
        group for group in ET.fromstring(svg).iter(f"{_SVG}g") if "matrix" in group.get("class", "")
    )
    return "".join("".join(piece.itertext()) for piece in terminal.iter(f"{_SVG}text"))


def without_blanks(text: str) -> str:
    return "".join(text.replace("\xa0", " ").split())


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_a_picture_shows_what_is_printed(name):
    picture = pictures.PICTURES[name]
    printed = [_CODES.sub("", output) for output in pictures.shown(picture)]
    assert "Traceback" not in "".join(printed)
    stored = (pictures.FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    typed = (f"$ bhyvesim {' '.join(command)}" for command in picture.commands)
    session = "".join(line + output for line, output in zip(typed, printed, strict=True))
    assert without_blanks(text_in(stored)) == without_blanks(session), "make docs"


def test_every_picture_is_made():
    assert {path.stem for path in pictures.FOLDER.glob("*.svg")} == pictures.PICTURES.keys()


def test_the_same_bytes_come_again():
    picture = pictures.PICTURES["panic"]
    assert pictures.svg(picture) == pictures.svg(picture)


def test_a_picture_loads_nothing():
    for path in pictures.FOLDER.glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        assert "url(http" not in text
        assert 'href="http' not in text
