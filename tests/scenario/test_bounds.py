"""Small scenarios that want too much: refused in a line, at their place, before the work."""

from __future__ import annotations

import os

import pytest

from bhyvesim.config.document import ConfigError
from bhyvesim.config.scenario.sources import Sources
from bhyvesim.scenario.cell import run_cell
from tests.bounded import bounded

HEAD = 'title: t\nvm: {name: x, memory: 8G}\nmatrix: {gpt: ["2025"], debug: [true]}\nsteps:\n'
REFUSED = {
    "touch: {gpa: 0, len: 16777215T, access: r, every: 1}": (
        "6:5: steps[1]: 4503599358935040 pages: expected at most 262144 pages"
    ),
    "poke: {gpa: 0, value: 1, size: 1, count: 268435456, stride: 1}": (
        "6:5: steps[1]: 268435456 values: expected at most 32768 values"
    ),
    "poke: {gpa: 0, value: 1, count: 32768, stride: 1M}": (
        "6:11: steps[1].poke: 34359738368 bytes: expected at most 268435456 bytes"
    ),
    "peek: {gpa: 0, len: 256M}": (
        "6:25: steps[1].peek.len: 268435456 bytes: expected at most 2097152 bytes"
    ),
    "fill: {gpa: 0, len: 257M, byte: 1}": (
        "6:25: steps[1].fill.len: 269484032 bytes: expected at most 268435456 bytes"
    ),
    "dirty: {gpa: 0, len: 16G, op: set, pages: 0-16777216}": (
        "6:47: steps[1].dirty.pages: 16777217 pages: expected at most 16777216 pages"
    ),
    f"dirty: {{gpa: 0, len: 16G, op: set, pages: '{','.join('0' * 257)}'}}": (
        "6:47: steps[1].dirty.pages: 257 ranges: expected at most 256 ranges"
    ),
}
# What follows the extents of memory, not its pages, needs no limit.
DONE = (
    "dirty: {gpa: 0, len: 16777215T, op: set}",
    "dirty: {gpa: 0, len: 1G, op: set, pages: 0-4194303}",
    "dirty: {gpa: 0, len: 16G, op: set, pages: 0-4194303/3}\n    expect: E2BIG",
    "touch: {gpa: 0, len: 16777215T, access: r}\n    expect: FC_NOMAP",
    "fill: {gpa: 0, len: 256M, byte: 1}",
    "peek: {segment: 0, len: 2M}\n    expect: {byte: 0}",
    "unmap: {gpa: 0, len: 16777215T}\n    expect: EINVAL",
)


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path.name


@pytest.mark.parametrize("step", REFUSED)
def test_more_than_is_taken(step, tmp_path):
    name = written(tmp_path / "a.yaml", f"{HEAD}  - create\n  - {step}\n")
    ended = bounded("run", name, folder=tmp_path)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == f"bhyvesim: a.yaml:{REFUSED[step]}\n"


@pytest.mark.parametrize("step", DONE)
def test_much_that_is_little_work(step, tmp_path):
    name = written(tmp_path / "a.yaml", f"{HEAD}  - create\n  - {step}\n")
    ended = bounded("run", name, folder=tmp_path)
    assert ended.status == 0, ended
    assert "bhyvesim: 1 cells, 0 failed\n" in ended.err


def test_a_pattern_that_another_engine_never_ends(tmp_path):
    panic = "steps:\n  - create\n  - reboot:\n    expect: {panic: {matches: '^(([a-z ]*)*)*$'}}\n"
    head = "title: t\nvm: {name: x, memory: 8G, bootrom: 2M, touch: [{gpa: 4G, len: 2M, access: w}]"
    head += "}\nmatrix: {gpt: [13932], debug: [true]}\n"
    ended = bounded("run", written(tmp_path / "a.yaml", head + panic), folder=tmp_path)
    assert ended.status == 1
    assert "expected  panic matching" in ended.out


def loaded(files, name="a"):
    return Sources(lambda path: files[path].encode()).load(name)


def test_a_chain_of_includes_that_doubles():
    files = {f"f{i}": f"{HEAD}  - include: f{i + 1}\n  - include: f{i + 1}\n" for i in range(14)}
    files["f14"] = f"{HEAD}  - create\n"
    with pytest.raises(ConfigError, match=r"include: 101 includes: expected at most 100 includes"):
        loaded(files, "f0")


def test_a_chain_of_includes_that_is_long():
    files = {f"f{i}": f"{HEAD}  - include: f{i + 1}\n" for i in range(17)}
    files["f17"] = f"{HEAD}  - create\n"
    with pytest.raises(ConfigError, match=r"^f16:5:14: steps\[0\].include: 17 files: expected at"):
        loaded(files, "f0")
    assert len(loaded(files, "f1").steps) == 1


def test_many_steps_each_from_a_file_that_is_read_once():
    read = []
    files = {"a": HEAD + "  - include: b\n" * 100, "b": HEAD + "  - create\n" * 100}

    def read_file(path):
        read.append(path)
        return files[path].encode()

    assert len(Sources(read_file).load("a").steps) == 10_000
    assert read == ["a", "b"]
    files["b"] += "  - create\n"
    with pytest.raises(ConfigError, match=r"^b:6:5: .* 10001 steps: expected at most 10000 steps$"):
        Sources(read_file).load("a")


def test_an_axis_of_forty_thousand_values(tmp_path):
    axis = ", ".join(f"{n}K" for n in range(4, 160_004, 4))
    text = f"title: t\nvm: {{name: x, memory: 8G}}\nmatrix: {{memory: [{axis}]}}\nsteps: [create]\n"
    ended = bounded("run", written(tmp_path / "a.yaml", text), folder=tmp_path)
    assert ended.status == 2
    assert ended.err == (
        "bhyvesim: a.yaml:3:18: matrix.memory: 40000 cells: expected at most 10000 cells\n"
    )


def test_axes_whose_product_is_large():
    memory, rom = (", ".join(f"{n}M" for n in range(1, count)) for count in (1001, 16))
    axes = f"memory: [{memory}], bootrom: [{rom}]"
    text = f"title: t\nvm: {{name: x, memory: 8G}}\nmatrix: {{{axes}}}\nsteps: [create]\n"
    with pytest.raises(ConfigError, match="15000 cells: expected at most 10000 cells"):
        loaded({"a": text})


def test_many_cells_with_many_steps():
    memory = ", ".join(f"{n}M" for n in range(1, 10_001))
    text = f"title: t\nvm: {{name: x, memory: 8G}}\nmatrix: {{memory: [{memory}]}}\nsteps:\n"
    assert len(loaded({"a": text + "  - create\n" * 2}).cells) == 10_000
    with pytest.raises(ConfigError, match=r"^a:55:5: .*510000 checks: expected at most 500000"):
        loaded({"a": text + "  - create\n" * 51})


@pytest.mark.parametrize(
    ("step", "times", "said"),
    [
        ("fill: {gpa: 0, len: 256M, byte: 1}", 4, "1342177280 bytes: expected at most 107"),
        (
            "touch: {gpa: 0, len: 512M, access: r, every: 1}",
            2,
            "393216 pages: expected at most 26",
        ),
        ("poke: {gpa: 0, value: 1, count: 16384}", 2, "49152 values: expected at most 32768"),
        ("peek: {gpa: 0, count: 16384}", 2, "49152 values: expected at most 32768 values"),
    ],
)
def test_steps_that_do_too_much_together(step, times, said):
    text = HEAD + f"  - {step}\n" * times
    assert len(loaded({"a": text}).steps) == times
    with pytest.raises(ConfigError, match=rf"^a:{5 + times}:5: steps\[{times}\]: {said}"):
        loaded({"a": f"{text}  - {step}\n"})


def test_what_pages_names_is_what_it_always_was():
    steps = "  - create\n  - dirty: {gpa: 0, len: 4M}\n    expect: ok\n"
    steps += "  - dirty: {gpa: 0, len: 4M, op: set, pages: '3, 8-500, 512-1023/7'}\n"
    steps += "  - dirty: {gpa: 0, len: 4M}\n    expect: {dirty: {pages: '3, 8-500, 512-1023/7'}}\n"
    scenario = loaded({"a": HEAD.replace("8G", "8G, track_dirty: true") + steps})
    assert run_cell(scenario, 0).failure is None
    named = {3, *range(8, 501), *range(512, 1024, 7)}
    pages = scenario.steps[2].action.pages.bitmap()
    assert {i for i in range(2000) if pages >> i & 1} == named


def test_a_pipe_among_the_scenarios(tmp_path):
    os.mkfifo(tmp_path / "a.yaml")
    written(tmp_path / "b.yaml", f"{HEAD}  - create\n")
    ended = bounded("run", ".", folder=tmp_path)
    assert (ended.status, ended.err) == (0, "bhyvesim: 1 cells, 0 failed\n")
