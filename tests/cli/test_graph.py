"""--get-memmap --graph: the address space to scale, in the width of the terminal."""

from __future__ import annotations

import pytest

from bhyvesim.kernel.memory import Memmap, Memseg
from bhyvesim.report.graph import ASCII, BLOCKS, memory_graph
from tests.cli.test_imports import ENGINE, HEAVY, imported_by

MIB, GIB = 1 << 20, 1 << 30


def graph(sizes, width=80, marks=ASCII, name=""):
    """Memmaps ``(gpa, length)`` of one segment."""
    maps = [Memmap(gpa, length, 0, 0) for gpa, length in sizes]
    return memory_graph([Memseg(0, 1 << 46, name, 0)], maps, width, marks)


def test_a_guest_to_the_letter(cli, config, golden):
    cli("create", "--config", config("testvm"))
    golden("graph.txt", cli("--get-memmap", "--graph").out)


def test_bars_are_to_scale():
    lines = graph([(0, 3 * GIB), (4 * GIB, 6 * GIB)], 120)
    bars = [line.count("#") for line in lines[1:-1]]
    assert abs(bars[2] - 2 * bars[0]) <= 1
    assert (bars[1], lines[2].count(".")) == (0, 3)  # the gap is folded
    assert lines[-1] == f"{10 * GIB:#x}"  # nothing is too small, so nothing is enlarged


def test_where_the_rom_ends_and_highmem_begins_is_enlarged():
    rom = 4 * GIB - 2 * MIB
    lines = graph([(0, 3 * GIB), (rom, 2 * MIB), (4 * GIB, 5 * GIB)])
    at = lines.index("")
    assert lines[at + 1].startswith("0xffc00000 to 0x100200000 enlarged, # is ")
    free, small, high = lines[at + 2 :]
    assert free.count(".") == small.count("#") == high.count("#") + 1
    assert high.count(">") == 1  # it goes on
    assert small.index("#") == free.rindex(".") + 1
    assert high.index("#") == small.rindex("#") + 1


def test_a_small_map_is_enlarged_for_itself():
    rom = 4 * GIB - 2 * MIB
    lines = graph([(0, 3 * GIB), (rom, 2 * MIB), (4 * GIB, 32 << 40)])
    heads = [line.split(" enlarged")[0] for line in lines if "enlarged" in line]
    assert heads == ["0x0 to 0x180000000", "0xffc00000 to 0x100200000"]


def test_names_like_gaps_and_long_ones():
    lines = graph([(0, GIB), (GIB, GIB)], name="free")
    assert [line.split()[-3:] for line in lines[1:3]] == [["free", "1G", "rwx"]] * 2
    assert "#" in lines[1]
    assert "a" * 12 + ".. 1G" in graph([(0, GIB)], name="a" * 300)[1]
    assert graph([(0, GIB)], name="a\nb")[1].count("\n") == 0


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("size", [4096, 2 * MIB, 7 * GIB, 32 << 40])
def test_it_fits(width, size):
    sizes = [(0, size), (1 << 45, 4096), ((1 << 45) + 4096, size), (1 << 46, 3 * MIB)]
    for lines in (graph(sizes, width, BLOCKS, "framebuffer"), graph(sizes[2:], width)):
        assert max(map(len, lines)) <= width


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_on_a_terminal_and_piped(cli, config, monkeypatch, columns):
    cli("create", "--config", config("segments"))
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = cli("--get-memmap", "--graph", "--format=table").out.splitlines()
    assert max(map(len, lines)) <= columns
    assert not any(line.endswith(" ") for line in lines)
    piped = cli("--get-memmap", "--graph").out
    assert piped.isascii()
    assert max(map(len, piped.splitlines())) <= 80
    assert piped == cli("--get-memmap", "--graph", "--format=plain").out


def test_mistakes_and_nothing(cli, config):
    cli("--create", "--vm=empty")
    assert cli("--get-memmap", "--graph").out == "nothing is mapped\n"
    for argv in (["--get-memmap", "--graph", "--format=json"], ["--graph"], ["--graph=1"]):
        status, out, err = cli("--vm=empty", *argv)
        assert (status, "nothing" in out, err.count("\n")) == (2, False, 1)
    assert "expected --format=plain" in cli("--get-memmap", "--graph", "--format=json").err
    assert cli("--vm=empty", "--get-memmap", "--gra").status == 2  # ours are typed in full


def test_without_it_nothing_new_is_imported(cli, config):
    cli("create", "--config", config("testvm"))
    modules = imported_by("--vm=testvm", "--get-memmap")
    assert not modules & {"bhyvesim.report.graph", "bhyvesim.cli.pages", "shutil"}
    assert not imported_by("--vm=testvm", "--get-memmap", "--graph") & (HEAVY | ENGINE | {"click"})
