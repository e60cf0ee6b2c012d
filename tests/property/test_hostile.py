"""Whatever stands in a file: a message, never a traceback."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bhyvesim.config.importers.kinds import KINDS
from bhyvesim.config.importers.sniff import read_foreign
from bhyvesim.config.scenario.sources import Sources
from bhyvesim.config.vm import load
from bhyvesim.errors import UsageError
from bhyvesim.ops.replay import Replayer, parse_line

VM = b"""name: testvm
kernel: {gpt: "14042", debug: true}
cpu: amd
memory: 8G
bootrom: 2M
host_pfn: {highmem: 0x100}
touch: [{gpa: 0x1000, len: 4K, access: rw}]
"""
SCENARIO = b"""title: t
vm: {name: x, memory: 8G}
matrix: {gpt: ["2025", "14042"], debug: [true]}
steps:
  - create
  - poke: {gpa: 0, value: {from: 1, step: 2}, count: 3}
    expect: [{when: {gpt: 2025}, pages: 3}, {errno: EINVAL}]
  - dirty: {gpa: 0, len: 4K, pages: 0-3/2}
    expect: {dirty: {count: 1}, pte: {gpa: 0, flags: [dirty]}, tables: {1: 3}}
  - destroy:
    expect: {leaks: 0}
"""
FOREIGN = (
    b"Address     Length      Segment     Offset      Prot  Flags\n"
    b"0           3072MB      sysmem      0           RWX   \n",
    b"name=x\nmemory.size=8G\nlpc.bootrom=%(name)\npci.0.1.0.device=fbuf\n",
    b"bhyve -m 8G -S -l bootrom,/x,/y -s 1,fbuf -o a=b vm\n",
    b'[main]\nmemory = 8\nbootrom = "x"\nname = "n"\n',
)
LINE = b'{"op":"mmap_memseg","gpa":"2M","segid":0,"segoff":0,"len":4096,"prot":"rwx","wired":true}'
HARSH = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def damaged(draw, *originals: bytes):
    """One of *originals* with pieces of it cut out, doubled, or replaced by noise."""
    text = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 12)))
        words = (b"", b"[", b"{", b"- ", b": ", b"\n", b"'", b"&a ", b"*a", b"!x ", b"\0", b"\xff")
        noise = draw(st.sampled_from(words) | st.binary(max_size=6) | st.just(text[start:end] * 2))
        text = text[:start] + noise + text[end:]
    return text


def refusal(read, *arguments):
    """The message with which *read* refuses; None if it does not. Other exceptions pass."""
    try:
        read(*arguments)
    except UsageError as error:
        return str(error)
    return None


def one_line_about_f(message):
    return message is None or (message.startswith("f:") and "\n" not in message)


@HARSH
@given(damaged(VM) | st.binary(max_size=200))
def test_vm_descriptions(text):
    assert one_line_about_f(refusal(load, text, "f"))


@HARSH
@given(damaged(SCENARIO))
def test_scenarios(text):
    def read(path):
        if path != "f":
            raise UsageError(f"{path}: no such file")
        return text

    assert one_line_about_f(refusal(Sources(read).load, "f"))


@HARSH
@given(damaged(*FOREIGN) | st.binary(max_size=200), st.none() | st.sampled_from(list(KINDS)))
def test_foreign_files(text, kind):
    message = refusal(read_foreign, text, "f", kind, lambda path: None)
    assert one_line_about_f(message)
    if message is None:
        description = read_foreign(text, "f", kind, lambda path: None).text()
        # What an importer lets through is a description, but for the name or an odd size.
        refused = refusal(load, description, "d")
        assert refused is None or "name" in refused or "memory" in refused


@HARSH
@given(damaged(LINE))
def test_replay_lines(line):
    replayer = Replayer()
    replayer.run({"op": "create", "gpt": "2025", "debug": True, "npt": "ept"})

    def run(text):
        for step in parse_line(text):
            assert replayer.run(step.op).keys() & {"ok", "error"}

    message = refusal(run, line.decode("utf-8", "replace"))
    assert message is None or "\n" not in message
