"""What is fuzzed: a function of bytes each, its own words to mix in, and what to begin with."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click

from bhyvesim import regex
from bhyvesim.cli import plain
from bhyvesim.cli.bhyvectl.main import _address, _atoi, _options
from bhyvesim.cli.bhyvectl.manner import is_bhyvectl_style
from bhyvesim.cli.commands.replay import lines_of
from bhyvesim.cli.root import COMMANDS, root
from bhyvesim.cli.session import Session
from bhyvesim.config.document import parse
from bhyvesim.config.importers.crash.findings import crashes_in, tell
from bhyvesim.config.importers.crash.lines import lines_of as crash_lines
from bhyvesim.config.importers.memmap import listing
from bhyvesim.config.importers.sniff import find
from bhyvesim.config.importers.source import decode
from bhyvesim.config.scenario.sources import Sources
from bhyvesim.config.vm import read_vm
from bhyvesim.crash import codec as dump
from bhyvesim.crash.dump import CrashDump
from bhyvesim.errors import BhyvesimError, Frame, KernelPanic, UsageError
from bhyvesim.explore.bound import parse_bound
from bhyvesim.explore.certificate import differences, read_certificate
from bhyvesim.explore.recorded import read_trace
from bhyvesim.kernel.contents import fill_guest
from bhyvesim.kernel.gpt.filters import parse_bits, parse_rights
from bhyvesim.kernel.look.fsck import examine
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.npt import parse_operation
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.lint.review import review
from bhyvesim.ops.replay import Replayer, parse_line
from bhyvesim.prot import parse_prot
from bhyvesim.scenario.cell import run_cell
from bhyvesim.store import codec
from bhyvesim.store.maps import decode_maps, decoding, encode_maps
from bhyvesim.text import clean
from bhyvesim.trace.aggregate import Lquantize
from bhyvesim.trace.probe import describe, probes
from bhyvesim.units import parse_bitmap, parse_size
from bhyvesim.vm import life
from tests.cli.imports import SAMPLES
from tests.conftest import ROOT

HERE = Path(__file__).parent
VM = b"name: x\nmemory: 8G\nbootrom: 2M\ntouch: [{gpa: 4G, len: 2M, access: w}]\n"
_UUID = "6b3c1a52-0000-4000-8000-0123456789ab"
CELL_SECONDS = 1.0  # so that an input's whole time says whether cells end when they are told to


class Target(NamedTuple):
    """*run* raises only for what is wrong with us; *words* are mixed in by the mutations."""

    run: Callable[[bytes], None]
    words: tuple[bytes, ...]
    begin: Callable[[], list[bytes]]


def description(data: bytes) -> None:
    """A VM's description: read, reviewed, booted."""
    spec = read_vm(parse(data, "f"))
    for finding in review(spec, kernel_is_named=True):
        clean(str(finding))
    machine = life.new_machine(spec)
    life.allocate(machine, spec)
    life.boot(machine, spec)
    life.reboot(machine, spec)


def scenario(data: bytes) -> None:
    """A scenario, which may include itself and a description; two of its cells."""
    files = {"f": data, "vm.yaml": VM, "g": data + b"\n"}

    def read(path: str) -> bytes:
        if path not in files:
            raise UsageError(f"{path}: no such file")
        return files[path]

    read_in = Sources(read).load("f")
    for index in range(min(1, len(read_in.cells) - 1) + 1):
        run_cell(read_in, index, seconds=CELL_SECONDS / 2)


def replay(data: bytes) -> None:
    """A recording, packed if it begins so."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a.gz" if data[:2] == b"\x1f\x8b" else "a")
        Path(path).write_bytes(data)
        replayer = Replayer()
        with lines_of(path) as lines:
            for line in lines:
                for step in parse_line(line) if line.strip() else ():
                    json.dumps(replayer.run(step.op))


def foreign(data: bytes) -> None:
    """A file of another program, and the description that it becomes."""
    for found in find(data, "f", None, lambda path: 1 << 20 if "fd" in path else None):
        read_vm(parse(found.read().text(), "d"))


def crash(data: bytes) -> None:
    """A crash: the cause, the VM, and its life on every kernel."""
    reader = crashes_in(crash_lines(io.BytesIO(data), "f"), "f")
    told = tell(reader, reader.crashes[0], "f")
    told.verdict()
    if told.draft is not None:
        told.scenario()


def a_dump(data: bytes) -> None:
    """A crash dump in a file: as it is, or its lines and pages with the head that fits."""
    if data[:1] == b"{":
        lines, _, pages = data.partition(b"\n\n")
        body = dump.zlib.compress(lines + b"\n", 1) + pages
        head = b"%s %d %s\n" % (dump._MAGIC, dump.VERSION, dump._checksum(body))
        data = head + body
    made = dump.decode(data)
    machine = made.machine()
    for finding in examine(machine):
        clean(str(finding))
    dump.encode(made)


def row(data: bytes) -> None:
    """What stands in a row of the state file, after its checksum was found right."""
    kind, body = data[:1], data[1:]
    with decoding("x"):
        if kind == b"s":
            codec.encode_spec(codec.decode_spec(body.decode()))
        elif kind == b"m":
            encode_maps(*decode_maps(body.decode()))
        elif kind == b"l":
            codec.decode_leaf(body)
        elif kind == b"w":
            codec.decode_window(0, body)
        elif kind == b"p":
            codec.decode_pages(0, body)
        elif kind == b"z":
            codec.unpacked(body)
        else:
            maps, _, outline = body.partition(b"\n")
            shot = codec.decode_outline("running", maps.decode(), codec.packed(outline))
            list(examine(Machine.restored(shot)))


_KNOWN = probes([revision.functions for revision in REVISIONS.values()])


def probe(data: bytes) -> None:
    """A probe of trace with its predicate, on what it may be asked about; a pattern of matches."""
    text = data.decode("utf-8", "replace")
    with contextlib.suppress(BhyvesimError):
        regex.compile(text).found_in("assertion failed: ptes[i] == 0 (0x67 == 0x0)" * 4)
    predicate = describe(text, _KNOWN).predicate
    if predicate is not None:
        with contextlib.suppress(KeyError):
            predicate({"caller": "main", "start": 1, "end": 1 << 63, "arg0": 1, "arg1": -1})


_PARSERS: tuple[Callable[[str], object], ...] = (
    *(parse_size, parse_prot, parse_bitmap, parse_operation, parse_bound, parse_rights),
    *(Lquantize.parse, lambda text: parse_bits(text, ("present", "dirty")), _atoi, _address),
)


def arguments(data: bytes) -> None:
    """A command's words, as far as they are read; and each word as a value of every kind."""
    words = data.decode("utf-8", "surrogateescape").split("\0")
    for parser in _PARSERS:
        with contextlib.suppress(BhyvesimError):
            parser(words[-1])
    if any("revision-file" in word for word in words):
        return  # that is Python, and would be run
    if is_bhyvectl_style(words):
        _options(words)
        return
    plain._said(words)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(click.exceptions.Exit):
        above = root.make_context("bhyvesim", [*words], obj=Session())
        command = root.get_command(above, words[0])
        if command is not None:
            command.make_context(words[0], words[1:], parent=above, obj=Session())


def certificate(data: bytes) -> None:
    """What a proof or an exploration left, or says for ever."""
    text = data.decode("utf-8", "replace")
    read = read_certificate(text)
    differences(read, read)


def evidence(data: bytes) -> None:
    """What was seen of a host: a trace of operations, or a memory map."""
    if data[:1] == b"{":
        read_trace("f", data.decode("utf-8", "replace"))
    else:
        source = decode(data, "f", lambda path: None)
        listing(source.lines, source.name)


def _traces() -> list[bytes]:
    line = {"ops": [{"op": "reinit"}, {"op": "stats"}], "results": [{"ok": 0}, {"error": "EINVAL"}]}
    other = b'{"op":"track_dirty_pages","gpa":0,"len":4096}\n{"error":"EPERM"}\n'
    return [json.dumps(line).encode(), other, *_files("tests/golden/memmap-*.txt")]


def _files(*patterns: str) -> list[bytes]:
    return [path.read_bytes() for one in patterns for path in sorted(ROOT.glob(one))]


def _machine() -> Machine:
    spec = read_vm(parse(VM, "f"))
    machine = life.new_machine(spec)
    life.allocate(machine, spec)
    life.boot(machine, spec)
    return machine


def _recordings() -> list[bytes]:
    lines = [
        '{"op":"create","gpt":"2025","debug":true,"npt":"ept","track_dirty":true}',
        '{"op":"alloc_memseg","segid":0,"len":"3G","name":""}',
        '{"op":"mmap_memseg","gpa":0,"segid":0,"segoff":0,"len":"3G","prot":"rwx"}',
        '{"op":"access","gpa":0,"npages":512,"prot":"rw"}',
        '{"op":"access_batch","gpas":[0,8192],"prot":3}',
        '{"op":"write","gpa":0,"data":"00ff"}\n{"op":"read","gpa":0,"len":4}',
        '{"op":"fill","segid":0,"len":"2M","byte":1}\n{"op":"hold","gpa":0,"prot":"r"}',
        '{"op":"npt_op","gpa":0,"len":4096,"operation":3221225475,"bitmap":"01"}',
        '{"op":"track_dirty_pages","gpa":0,"len":4096}\n{"op":"release","id":1,"dirty":false}',
        '{"op":"munmap_memseg","gpa":0,"len":"3G"}\n{"op":"stats"}\n{"op":"dump"}\n{"op":"reinit"}',
        '{"ops":[{"op":"destroy"}],"results":[{"ok":0,"leaked_nodes":0}]}',
    ]
    text = "\n".join(lines).encode() + b"\n"
    return [text, *(line.encode() for line in lines), codec.zlib.compress(text, wbits=31)]


def _dumps() -> list[bytes]:
    small, full = Machine("13932", debug=True, npt="rvi"), _machine()
    fill_guest(full, 0x1000, 0x2800, 7)
    seeds = []
    for machine in (small, full):
        stopped = KernelPanic("m", (Frame("vm_reinit", (1,), ("start",)),), {"gpa": 1})
        made = CrashDump.of(stopped, machine, vm="x", operation="reboot", time_ns=1, uuid=_UUID)
        unpacker = dump.zlib.decompressobj()
        lines = unpacker.decompress(dump.encode(made).partition(b"\n")[2])
        seeds.append(lines + b"\n" + unpacker.unused_data)
    return seeds


def _rows() -> list[bytes]:
    machine = _machine()
    shot = machine.snapshot()
    maps, outline = codec.encode_outline(shot)
    _, _, leaf = shot.leaves[0]
    return [
        b"s" + codec.encode_spec(read_vm(parse(VM, "f"))).encode(),
        b"m" + maps.encode(),
        b"l" + codec.encode_leaf(leaf),
        b"w" + codec.encode_window(0, [(0, 2, leaf)]),
        b"p" + codec.encode_pages({3: bytes(4096)}),
        b"z" + codec.packed(b"text"),
        b"o" + maps.encode() + b"\n" + codec.unpacked(outline),
    ]


def _commands() -> list[bytes]:
    return [
        *(f"{name}\0--vm\0x\0--gpa\0004G\0--len\0002M".encode() for name in COMMANDS),
        b"--vm=x\0--get-memmap\0--format=json",
        b"--create\0--vm=x\0--config=f\0--replace",
        b"prove\0--bound\0maps=2,points=17",
        b"npt\0--operation\0GET_DIRTY|BITMAP_OUT",
        b"trace\0--lquantize\0len,0,0x100000,0x1000",
        b"gpt\0--has\0dirty,!present\0--prot\0=rwx",
    ]


YAML = (b"- ", b": ", b"{", b"}", b"[", b"]", b"\n  ", b"'", b'"', b"&a ", b"*a", b"!!int ", b"|\n")
NUMBERS = (b"0", b"1", b"-1", b"4096", b"2M", b"8G", b"16777215T", b"0xffffffffffffffff", b"9" * 99)
JSON = (b'{"', b'":', b"[", b"]", b"}", b",", b"null", b"true", b"1e999", b"NaN", b'"\\ud800"')
_STEPS = (b"create", b"reboot", b"touch", b"fill", b"poke", b"peek", b"dirty", b"expect", b"every")
_KEYS = (b"gpa", b"len", b"count", b"stride", b"pages", b"matches", b"when", b"include: f", b"vm.y")
_SHELL = (b"$(", b"`", b"${x}", b"<<EOF\n", b"\\\n", b";", b"&&", b"bhyve -m 4G ", b"%(x)", b"set ")
_PANIC = (b"panic[cpu1]/thread=fffffe00: ", b"assertion failed: ", b"::status\n", b"$C\n", b" ()\n")
_D = (
    b"/",
    b"&&",
    b"||",
    b"!",
    b"==",
    b"<",
    b"(",
    b")",
    b"arg0",
    b"fbt:",
    b":entry",
    b"*",
    b"\\d",
    b"?",
)

TARGETS = {
    "description": Target(description, YAML + NUMBERS, lambda: [VM, *_files("configs/*.yaml")]),
    "scenario": Target(
        scenario,
        YAML + NUMBERS + _STEPS + _KEYS,
        lambda: _files("examples/*.yaml", "examples/bhyve-tests/*", "examples/findings/*.yaml"),
    ),
    "replay": Target(replay, JSON + NUMBERS, _recordings),
    "import": Target(
        foreign,
        YAML + NUMBERS + _SHELL,
        lambda: [text.encode() for text in SAMPLES.values()] + _files("tests/golden/memmap-*.txt"),
    ),
    "crash": Target(crash, _PANIC + NUMBERS, lambda: _files("examples/crashes/*")),
    "dump": Target(a_dump, JSON + NUMBERS, _dumps),
    "row": Target(row, JSON + NUMBERS, _rows),
    "probe": Target(
        probe,
        _D + NUMBERS,
        lambda: [
            b"vmm_gpt_map:entry",
            b"fbt:vmm:vm_map_remove:entry /end == 0x100000000 && !(start < 4)/",
            b'vm*:return /arg1 != 0 || caller == "vm_reinit"/',
            rb"^ptes\[i\] (==|!=) (0x[0-9a-f]{1,16}|\d+)$",
        ],
    ),
    "certificate": Target(
        certificate, JSON + NUMBERS, lambda: _files("docs/certificates/1*-debug-ept.json")
    ),
    "evidence": Target(evidence, JSON + NUMBERS, _traces),
    "arguments": Target(arguments, (b"\0", b"--", b"=", b",", *NUMBERS), _commands),
}


def kept(name: str) -> list[bytes]:
    """The inputs on disk: the corpus, and what was found."""
    folders = (HERE / "corpus" / name, HERE / "found" / name)
    return [path.read_bytes() for folder in folders for path in sorted(folder.glob("*"))]


def accepts(name: str, data: bytes) -> None:
    """Give *data* to the target; what it refuses in our own words is fine."""
    try:
        TARGETS[name].run(data)
    except (BhyvesimError, click.ClickException) as error:
        clean(str(error))
