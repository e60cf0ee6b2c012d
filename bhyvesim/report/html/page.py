"""The page: its parts, its style and its script, in one text."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

import bhyvesim
from bhyvesim.report.html import drawing, parts, times
from bhyvesim.report.html.data import Document
from bhyvesim.report.html.markup import Html, join, script_json, tag, text
from bhyvesim.report.html.tree import tree

_SCRIPTS = ("scale", "view", "map", "search", "timeline", "page")
_SLOT = re.compile(r"\{\{(\w+)\}\}")


def page(document: Document) -> str:
    """*document* as one file of HTML."""
    style = _asset("page.css")
    script = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    machine, npt = document.machine, document.machine.npt
    slots = {
        "policy": text(_policy(style, script)),
        "title": text(document.title),
        "style": Html(style),
        "script": Html(script),
        "data": script_json(_data(document)),
        "summary": tag("p", document.summary, class_=_summary_class(document)),
        "facts": parts.facts(document),
        "crash": parts.crash(document.stopped),
        "tables": join(
            parts.memory_maps(document.areas),
            parts.segments(document.segments),
            parts.entries(document.entries, document.areas, npt),
        ),
        "ladders": parts.ladders(document.ladders, npt),
        "timeline": times.timeline(document.past, document.no_past),
        "kernels": times.two_kernels(document.kernels, document.no_kernels),
        "tree": tree(machine.space.gpt, npt, document.nodes),
        "version": text(bhyvesim.__version__),
    }
    return _SLOT.sub(lambda match: slots[match[1]], _asset("page.html"))


def _summary_class(document: Document) -> str:
    return "summary" if document.stopped is None else "summary message"


def _data(document: Document) -> dict[str, object]:
    """What the script reads: the map, and what each step changes on it."""
    marks = {} if document.stopped is None else document.stopped.marks
    steps = () if document.past is None else document.past.steps
    return {
        **drawing.plain(document.areas, document.entries, document.tables, marks),
        "bucket": document.entries.bucket,
        "steps": {step.key: step.drawn for step in steps},
    }


def _policy(style: str, script: str) -> str:
    """Nothing is loaded, and no other style or script than ours is obeyed."""
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _asset(name: str) -> str:
    return files(__package__).joinpath("assets", name).read_text(encoding="utf-8")
