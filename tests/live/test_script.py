"""The D script: what it probes, by which arguments, and that it is D as far as can be seen."""

from __future__ import annotations

import json
import re
from itertools import islice
from random import Random

import pytest

from bhyvesim.errors import BadValue
from bhyvesim.explore.sequences import Plan, at_random
from bhyvesim.kernel.functions import Function
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.ops import live
from bhyvesim.ops.dscript import script
from bhyvesim.ops.ioctls import AllocMemseg, Destroy
from bhyvesim.ops.recording import Reader
from tests.live.dtrace import Script
from tests.live.host import Host

BUILT_IN = tuple(name for name, revision in REVISIONS.items() if not revision.digest)
ALL = script(REVISIONS)
CLAUSE = re.compile(
    r"^(?P<probe>\w+:\w*:\w*:\w+)\n(?P<predicate>/[^\n]*/\n)?\{\n(?P<body>.*?)^\}$",
    re.M | re.S,
)
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def clauses(text, probe):
    """The predicates and actions of *probe*, in order."""
    return [
        ((found["predicate"] or "").strip("/\n"), " ".join(found["body"].split()))
        for found in CLAUSE.finditer(text)
        if found["probe"] == probe
    ]


def printed(text, probe):
    """The format and the values of each printf of *probe*."""
    for _, body in clauses(text, probe):
        for form, values in re.findall(r'printf\(("(?:[^"\\]|\\.)*")(.*?)\);', body):
            yield json.loads(form), [v.strip() for v in values.split(", ")[1:]]


@pytest.mark.parametrize("faults", [True, False])
def test_what_it_prints_is_what_the_tests_read(faults):
    """The script itself, run on every probe of three random VMs at a time."""
    cases = at_random(Plan(BUILT_IN, 5, 300, ("hold", "release")))
    for _ in range(24):
        dtrace = Script(script(REVISIONS, faults=faults))
        host = Host(faults=faults, fired=dtrace.fire)
        dtrace.fire("", "BEGIN", (1, 1))
        guests = []
        for number, case in enumerate(islice(cases, 3)):
            create = case.create
            more = {"track_dirty": create.track_dirty, "apicv": create.apicv}
            more |= {"debug": create.debug, "npt": create.npt, "vm": 0xFFFFFE0B00000000 + number}
            guests.append((host.create(f"vm{number}", create.gpt, **more), case.operations))
        for step in range(40):
            for guest, operations in guests:
                guest.do(*operations[step : step + 1])
                if guest.stopped:
                    break  # of the host is nothing left
            else:
                continue
            break
        else:
            dtrace.fire("", "END", (1, 1))
            host.end()
        assert "".join(dtrace.printed) == host.text


def test_one_name_alone_is_recorded():
    dtrace = Script(script(REVISIONS, "b"))
    host = Host(fired=dtrace.fire)
    for number, name in enumerate("abc"):
        guest = host.create(name, vm=0xFFFFFE0B00000000 + number)
        guest.do(AllocMemseg(0, 4096, ""), Destroy())
    told = [json.loads(line) for line in dtrace.printed]
    assert {line["vm"] for line in told} == {"fffffe0b00000001"}
    assert [line["n"] for line in told] == [1, 2, 3, 4, 5]
    assert told[0]["name"] == "b"


def test_a_name_that_no_json_could_hold_is_not_printed():
    dtrace = Script(script(REVISIONS))
    Host(fired=dtrace.fire).create('a"b')
    assert json.loads(dtrace.printed[-1])["name"] == "?"


def test_lines_for_which_there_is_no_room_leave_a_gap():
    """What is dropped is counted all the same, so that the reader misses exactly that."""
    rng = Random(3)
    dropped = []

    def fired(*probe):
        if dtrace.fire(*probe, room=rng.random() < 0.9):
            dropped.append(probe[0])

    dtrace = Script(script(REVISIONS))
    host = Host(fired=fired)
    dtrace.fire("", "BEGIN", (1, 1))
    for case in islice(at_random(Plan(("2025",), 9, 100, ("hold", "release"))), 12):
        host.create(vm=0xFFFFFE0B00000000 + len(host.lines)).do(*case.operations)
    dtrace.fire("", "END", (1, 1))
    reader = Reader()
    text = "".join(dtrace.printed) + f"dtrace: {len(dropped)} drops on CPU 0\n"
    for number, line in enumerate(text.splitlines(), start=1):
        list(reader.read(number, line))
    reader.finish()
    assert len(dropped) > 10
    assert any("lost" in life.why for life in reader.lives)
    assert not any("cannot be told" in life.why for life in reader.lives)


def test_nothing_stands_outside_of_clauses_comments_and_options():
    rest = CLAUSE.sub("", re.sub(r"/\*.*?\*/", "", ALL, flags=re.S))
    lines = [line for line in rest.splitlines() if line.strip()]
    assert lines[0] == "#!/usr/sbin/dtrace -qs"
    assert all(line.startswith("#pragma D option ") for line in lines[1:])


def test_what_is_opened_is_closed():
    for probe in CLAUSE.finditer(ALL):
        bare = STRING.sub('""', probe[0])
        assert bare.count("(") == bare.count(")")
        assert bare.count("{") == bare.count("}") == 1
        actions = [line for line in bare.splitlines() if line.startswith("\t") and line[1] != " "]
        assert actions, probe[0]
        for statement in STRING.sub('""', probe["body"]).split(";")[:-1]:
            assert statement.strip()
        assert STRING.sub('""', probe["body"]).rstrip().endswith(";")


def test_the_head_says_what_it_is_and_how_to_run_it():
    head = ALL.partition("*/")[0]
    assert "WRITTEN FROM THE SOURCES, NOT TRIED ON A HOST" in head
    assert "dtrace -q -s THIS-FILE > host.jsonl 2>&1" in head
    for word in ("Not recorded: accesses that do not fault", "bufsize", "zdefs", *REVISIONS):
        assert word in head
    for option in ("quiet", "zdefs", "temporal", "bufsize=16m"):
        assert f"#pragma D option {option}\n" in ALL


def test_values_and_formats_are_as_many():
    count = 0
    for probe in CLAUSE.finditer(ALL):
        for form, values in re.findall(r'print[fa]\(("(?:[^"\\]|\\.)*")(.*?)\);', probe[0], re.S):
            wanted = len(re.findall(r"%@?[a-z]", json.loads(form)))
            given = len(re.sub(r"\(index\(.*?\) : ", "", STRING.sub("S", values)).split(",")) - 1
            if "@lines" in values:
                continue
            count += 1
            assert wanted == given, form
    assert count > 20


@pytest.mark.parametrize("name", live.RECORDED)
def test_arguments_are_those_of_the_prototypes(name):
    functions = {r.functions[name] for r in REVISIONS.values() if name in r.functions}
    for function in functions:
        known = {p.name: place for place, p in enumerate(function.params) if p.known}
        text = ALL
        for field in live.entered(function).fields:
            if field.name in known:
                assert f"arg{known[field.name]}" in field.source
                assert field.source in text or f"self->{field.name}" in text
    assert clauses(ALL, f"fbt:vmm:{name}:entry")
    assert clauses(ALL, f"fbt:vmm:{name}:return")


def test_a_call_is_one_line_and_its_answer_another():
    [(form, values)] = printed(ALL, "fbt:vmm:vm_mmap_memseg:entry")
    assert form.endswith(
        '"fn":"%s","gpa":%u,"segid":%d,"segoff":%d,"len":%u,"prot":%d,"flags":%d}\n'
    )
    assert values[-6:] == [
        "(uint64_t)arg1",
        "(int)arg2",
        "(int64_t)arg3",
        "(uint64_t)arg4",
        "(int)arg5",
        "(int)arg6",
    ]
    [(form, values)] = printed(ALL, "fbt:vmm:vm_mmap_memseg:return")
    assert (form.endswith('"fn":"%s","ret":%d}\n'), values[-1]) == (True, "(int)arg1")
    [(_, values)] = printed(ALL, "fbt:vmm:vm_destroy:return")
    assert values[-1] == "0"  # it returns nothing


def test_a_line_is_counted_by_a_clause_that_prints_nothing():
    for name in live.RECORDED:
        bodies = [body for _, body in clauses(ALL, f"fbt:vmm:{name}:return")]
        assert "self->n[self->vm]++; @lines[self->vm, pid, tid] = count();" in bodies[0]
        assert "printf" not in bodies[0]
        assert "printf" in bodies[1]
        assert "self->vm = 0;" in bodies[2]


def test_the_first_assignment_gives_each_variable_its_type():
    first = {}
    for name, value in re.findall(r"(self->\w+(?:\[[^]]*\])?|known\[[^]]*\]) = ([^;]*);", ALL):
        first.setdefault(name.partition("[")[0], value)
    for name in ("self->vm", "self->made", "self->run", "self->n"):
        assert first[name] == "(int64_t)0"  # else an address would be cut to 32 bits
    assert first["self->gpa"] == "(uint64_t)arg1"


def test_a_vcpu_faults_within_its_run():
    assert clauses(ALL, "fbt:vmm:vm_run:entry") == [("known[arg0]", "self->run = arg0;")]
    (predicate, body), *_ = clauses(ALL, "fbt:vmm:vmc_fault:entry")
    assert predicate == "self->run && !self->vm"
    assert body == ("self->vm = self->run; self->gpa = (uint64_t)arg1; self->prot = (int)arg2;")


def test_a_kernel_has_the_probes_of_its_functions():
    old, new = script(["14042"]), script(["2025"])
    assert "vm_fault:entry" in old
    assert "vmc_fault" not in old.partition("*/")[2]
    assert "vmc_fault:entry" in new
    assert "vm_npt_do_operation:entry" in new
    assert "vm_npt_do_operation:entry" not in script(["15844"])


def test_without_faults():
    text = script(REVISIONS, faults=False)
    assert "fault:" not in text
    assert "vm_run" not in text
    assert '\\"faults\\":0' in text


def test_one_vm_by_its_name():
    text = script(REVISIONS, 'a"b\\c')
    [(predicate, _)] = clauses(text, "fbt:vmm:vm_create:entry")
    assert predicate == 'self->named && self->name == "a\\"b\\\\c"'


def test_kernels_that_take_arguments_elsewhere_share_no_script(monkeypatch):
    other = Function.of("int vm_munmap_memseg([struct vm *vm], size_t len, vm_paddr_t gpa)")
    odd = Function.of("int vm_munmap_memseg([struct vm *vm], widget_t gpa, size_t len)")
    revision = REVISIONS["2025"]
    for function, problem in ((other, "other arguments"), (odd, "widget_t")):
        functions = {**revision.functions, function.name: function}
        monkeypatch.setitem(REVISIONS, "2025", _with(revision, functions))
        with pytest.raises(BadValue, match=problem):
            script(REVISIONS)


def _with(revision, functions):
    from dataclasses import replace

    return replace(revision, functions=functions)
