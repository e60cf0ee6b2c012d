"""What became of a VM as HTML: its steps, and the same on two kernels."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from bhyvesim.report.html.markup import Html, join, tag
from bhyvesim.report.html.parts import left_out
from bhyvesim.report.html.past import GOES_ON, NOT_REACHED, Past, Step, TwoKernels
from bhyvesim.text import clean

_MAX_VALUE = 160  # characters of what was asked


def timeline(past: Past | None, why_not: str) -> Html:
    """A link to each step, and the steps; the script makes tabs of them."""
    if past is None:
        return tag("p", why_not, class_="quiet")
    links = [
        tag("a", tag("b", step.key), f" {step.word}: {step.stage}", href=f"#step-{step.key}")
        for step in past.steps
    ]
    return join(
        *left_out(past.earlier, "earlier event"),
        tag("nav", *links, class_="steps", aria_label="Steps"),
        *map(_step, past.steps),
    )


def _step(step: Step) -> Html:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(step.time_ns // 10**9))
    told = [("When", when), ("Asked", _values(step.action)), ("Came to", _values(step.result))]
    return tag(
        "section",
        tag("h3", f"{step.key} {step.word}: {step.stage}"),
        tag(
            "p",
            f"The VM is {step.state} afterwards.",
            *(f" {name}: {value}." for name, value in told if value),
            class_="quiet",
        ),
        changes(step.lines, "Nothing changed."),
        *left_out(step.more),
        id=f"step-{step.key}",
        data_step=step.key,
        class_="step",
    )


def _values(values: dict[str, Any]) -> str:
    """JSON without its outer braces, cut where it is long."""
    return clean(json.dumps(values)[1:-1].replace('"', ""), _MAX_VALUE)


def changes(lines: Sequence[str], empty: str) -> Html:
    """The lines of a diff under their headings: what went, what came."""
    if not lines:
        return tag("p", empty, class_="quiet")
    return tag("div", *_groups(lines), class_="changes")


def _groups(lines: Sequence[str]) -> Iterator[Html]:
    rows: list[Html] = []
    for line in lines:
        if line.startswith("@@ "):
            if rows:
                yield tag("ul", *rows)
            rows = []
            yield tag("h4", line[3:].capitalize())
        else:
            kind = {"-": "went", "+": "came"}.get(line[:1])
            rows.append(tag("li", line, class_=kind))
    if rows:
        yield tag("ul", *rows)


def two_kernels(found: TwoKernels | None, why_not: str) -> Html:
    """Where two kernels part, a row a step."""
    if found is None:
        return tag("p", why_not, class_="quiet")
    one, other = found.kernels
    parted = next((step.step for step in found.steps if step.word == "differs"), None)
    first = f"They part at {parted}." if parted else "They do the same in every step."
    rows: list[Html] = []
    for step in found.steps:
        cells = (_end(name, end) for name, end in zip(found.kernels, step.ends, strict=True))
        rows.append(tag("tr", tag("th", step.step, scope="row"), *cells, tag("td", step.word)))
        if step.lines:
            told = join(changes(step.lines, ""), *left_out(step.more))
            title = f"What differs: - as on {one}, + as on {other}"
            cell = tag("td", tag("details", tag("summary", title), told, open=True), colspan=4)
            rows.append(tag("tr", cell, class_="detail"))
    head = tag("tr", *(tag("th", name, scope="col") for name in ("Step", one, other, "")))
    return join(
        tag("p", first),
        tag(
            "div",
            tag("table", tag("thead", head), tag("tbody", *rows)),
            class_="wide",
            tabindex=0,
            role="region",
            aria_label="Two kernels",
        ),
        *left_out(found.more, "step"),
    )


def _end(kernel: str, end: str) -> Html:
    kind = "quiet" if end in (GOES_ON, NOT_REACHED) else "end"
    return tag("td", end, class_=kind, data_kernel=kernel)
