"""Bad input: one line, the status, and nothing lost."""

from __future__ import annotations

import pytest

BAD_VMS = {
    "name: x\nmemroy: 8G\n": "2:1: unknown key 'memroy': expected memory (did you mean that?)",
    "name: x\n": "1:1: the key 'memory' is missing: expected memory to be given",
    "memory: 1G\n": "1:1: the key 'name' is missing: expected name to be given",
    "name: x\nmemory: 8\n": (
        "2:9: memory: '8' is 8 bytes, which is not a multiple of 4096: expected a page-aligned "
        "size; a plain number is bytes, suffixes are K, M, G, T; did you mean 8M or 8G?"
    ),
    "name: x\nmemory: 1" + "0" * 30 + "\n": (
        f"2:9: memory: '1{'0' * 30}' is too large: expected a size below 2^64 bytes"
    ),
    "name: x\nmemory: 8G\nname: y\n": (
        "3:1: the key 'name' stands twice: expected it once (line 1 has it)"
    ),
    "name: no/t\nmemory: 8G\n": (
        "1:7: name: 'no/t' names a path: expected a printable name of 1 to 127 bytes without /"
    ),
    "name: ''\nmemory: 8G\n": (
        "1:7: name: '' is empty: expected a printable name of 1 to 127 bytes without /"
    ),
    'name: "a\\u0007"\nmemory: 8G\n': (
        "1:7: name: 'a\\x07' holds a control character: "
        "expected a printable name of 1 to 127 bytes without /"
    ),
    f"name: {'é' * 64}\nmemory: 8G\n": (
        f"1:7: name: '{'é' * 39}…' is over 127 bytes long: "
        "expected a printable name of 1 to 127 bytes without /"
    ),
    "name: !!python/object:os.system x\nmemory: 8G\n": (
        "1:7: the tag 'tag:yaml.org,2002:python/object:os.syst…': expected values without tags"
    ),
    "name: &a x\nmemory: *a\n": "1:7: the anchor &a: expected values written out",
    "name: x\nmemory: *a\n": "2:9: the alias *a: expected values written out",
    "[" * 500: "1:22: too deeply nested: expected at most 20 levels",
    "": "1:1: the file is empty: expected a mapping of keys",
    "- a\n": (
        "1:1: a list: expected a mapping with name, kernel, cpu, apicv, touch, track_dirty, "
        "reservoir, vmm, memory, bootrom, host_pfn, segments, mappings"
    ),
    "name: x\n---\nname: y\n": "2:1: a second document: expected one document in a file",
    "name: x\nmemory: 8G\nkernel: {debug: no}\n": (
        "3:17: kernel.debug: 'no' is not a boolean: expected true or false"
    ),
    "name: x\nmemory: 8G\nkernel: {gpt: 14043}\n": (
        "3:15: kernel.gpt: '14043' is not known: expected 14042 (did you mean that?)"
    ),
    "name: x\nmemory: 8G\nkernel: {debug: false, assertions: warn}\n": (
        "3:24: kernel: assertions: warn on a production kernel: expected debug: true beside it"
    ),
    "name: x\nmemory: 8G\nsegments: []\nmappings: []\n": (
        "2:1: memory together with segments: expected either memory, or segments and mappings"
    ),
    "name: x\nmemory: 8G\nvmm: bhyve\nbootrom: 32M\n": (
        "4:10: bootrom: a ROM of 32M: expected at most 16M under vmm: bhyve"
    ),
    "name: x\nmemory: 8G\nbootrom:\n": (
        "3:9: bootrom: nothing stands here: expected a size such as 2M or 8G"
    ),
    "name: x\nmemory: 8G\nhost_pfn: {bootrom: 0x10000000000}\n": (
        "3:21: host_pfn.bootrom: 0x10000000000 is no page frame number: expected one below 2^40"
    ),
    "name: x\nmemory: 8G\ntouch: [{gpa: 0, len: 4K, access: q}]\n": (
        "3:35: touch[0].access: 'q' is not a protection: expected one or more of r, w, x"
    ),
    "name: x\nmemory: 8G\ntouch: some\n": (
        "3:8: touch: 'some' is not known: expected one of all, none"
    ),
    "name: x\nmemory: [\n": "3:1: not YAML: did not find expected node content",
    b"name: \xff\n": "1:7: not UTF-8: expected text in UTF-8",
    "name: a\x01\n": "1:8: the character U+0001: expected printable text",
    "x" * 2_000_000: "1:1: 2000000 bytes: expected at most 1048576 bytes",
}


def test_libyamls_own_limit_of_depth_reads_the_same(cli, vm_file):
    status, _, err = cli("create", "--config", vm_file("[" * 5000))
    assert status == 2
    assert err.endswith(": too deeply nested: expected at most 20 levels\n")


@pytest.mark.parametrize("text", BAD_VMS, ids=range(len(BAD_VMS)))
def test_bad_descriptions(cli, vm_file, tmp_path, text):
    path = vm_file(text)
    status, out, err = cli("create", "--config", path)
    assert (status, out) == (2, "")
    assert err == f"bhyvesim: {path}:{BAD_VMS[text]}\n"
    assert not (tmp_path / "state").exists()


def test_an_alias_bomb_is_refused_at_once(cli, vm_file):
    levels = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))
    status, _, err = cli("create", "--config", vm_file("a0: &a0 x\n" + levels))
    assert (status, err.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["creat"], "no such command 'creat'; did you mean 'create'? (see 'bhyvesim --help')"),
        (["create"], "missing FILE: expected a description of a VM"),
        (["create", "--config", "/nonexistent"], "/nonexistent: No such file or directory"),
        (["create", "--config", "/"], "/: Is a directory"),
        (["touch", "--gpa", "x"], "invalid value for '--gpa': 'x' is not an address"),
        (["touch", "--gpa", "0", "--len", "0"], "invalid value for --len: 0 is no length"),
        (["touch", "--gpa", "0", "--access", "7"], "invalid value for '--access'"),
        (["list", "--format", "xml"], "invalid value for '--format'"),
        (["crash", "show", "x"], "'x' is no crash: expected an id"),
        (["destroy", "--all", "--vm=x"], "--all together with a VM: expected one of the two"),
        (["--get-mem"], "ambiguous option -- get-mem (could be --get-memmap, --get-memseg)"),
        (["--get-memmaps"], "illegal option -- get-memmaps"),
        (["--get-memmap=1"], "option doesn't take an argument -- get-memmap"),
        (["--get-memmap", "-z"], "illegal option -- z"),
        (["--get-memmap", "--vm"], "option requires an argument -- vm"),
        (["--get-memmap", "--format=xml"], "--format='xml': expected one of plain, table, json"),
        (["--create"], "--create wants --vm=NAME, or --config=FILE with a description"),
        (["--create", "--vm=a/b"], "--vm='a/b' names a path"),
        (["--vm=x", "--get-rip"], "bhyvectl option --get-rip is not simulated"),
        (["--vm=x", "--set-mem=0"], "--set-mem=0: expected a number of MiB from 1 on"),
        (["--vm=x", "--get-gpa-pmap=x"], "--get-gpa-pmap: 'x' is not an address"),
        (["--replace", "--vm=x"], "--replace goes with --create"),
        (["replay", "/nonexistent"], "/nonexistent: No such file or directory"),
    ],
)
def test_bad_usage(cli, argv, message):
    status, out, err = cli(*argv)
    assert (status, out) == (2, "")
    assert err.startswith(f"bhyvesim: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("group", [(), ("crash",), ("config",)])
def test_a_group_without_a_command_shows_its_help(cli, group):
    status, out, err = cli(*group)
    assert (status, out) == (2, "")
    assert err.startswith(f"Usage: {' '.join(('bhyvesim', *group))} [OPTIONS] COMMAND")


def test_bad_names_on_the_command_line(cli, config):
    for name in ("", "a/b", "..", "x" * 128, "a\nb"):
        status, _, err = cli("create", "--config", config("testvm"), "--vm", name)
        assert (status, err.count("\n")) == (2, 1)


def test_no_such_crash(cli, config):
    assert cli("crash", "show").status == 1
    assert cli("crash", "show", "7").status == 1
    assert cli("crash", "show", str(10**30)).status == 1


def test_a_clock_that_is_none(cli, config, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "tomorrow")
    status, _, err = cli("create", "--config", config("testvm-13932"))
    assert (status, err.splitlines()[-1]) == (
        2,
        "bhyvesim: SOURCE_DATE_EPOCH is 'tomorrow': expected seconds since 1970",
    )
    assert cli("list").out == ""


def test_the_help_of_a_group_cuts_no_sentence(cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    for group in ("state", "crash", "host", "config"):
        out = cli(group, "--help").out
        assert "..." not in out.partition("Commands:")[2]
        assert max(map(len, out.splitlines())) <= 60
