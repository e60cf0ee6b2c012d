"""The host's memory across all VMs, and what check and matrix say of it before a start."""

from __future__ import annotations

import json
import threading

import pytest

from bhyvesim.store.store import Store

G = 1 << 30
KSTAT = "vmm:0:vmm_reservoir:{}\t{}\n"
NAMES = ("bytes_alloc", "bytes_free", "bytes_limit", "bytes_transient_alloc")


def kstat(*values):
    lines = [KSTAT.format(name, value) for name, value in zip(NAMES, values, strict=True)]
    around = ["unix:0:system_pages:physmem\t268435456\n", KSTAT.format("class", "misc")]
    return "".join([around[0], *lines, around[1], "vmm:3:vm:vm_name\tmy vm\n"])


@pytest.fixture
def shown(cli):
    return lambda: json.loads(cli("host", "show", "--format", "json").out)


@pytest.fixture
def create(cli, vm_file):
    def run(name, memory, *, reservoir=True, more=""):
        word = "true" if reservoir else "false"
        text = f"name: {name}\nmemory: {memory}\nbootrom: 0\ntouch: none\nreservoir: {word}\n{more}"
        return cli("create", "--config", vm_file(text, f"{name}.yaml"))

    return run


def test_without_a_word_of_the_host_memory_has_no_end(cli, create, shown):
    assert create("x", "10T").status == 0
    host = shown()
    assert (host["limit"], host["left"], host["allocated"]) == (None, None, 10 << 40)
    assert "no end" in cli("host", "show").err


def test_a_start_is_refused_across_all_vms(cli, create, shown):
    cli("host", "set", "--memory", "1T", "--reservoir", "800G")
    assert create("a", "500G").status == 0
    refused = create("b", "340G")
    assert (refused.status, refused.out) == (1, "")
    assert refused.err == (
        "bhyvesim: the reservoir is short by 40G: 337G asked, 297G free (ENOMEM)\n"
    )
    assert [vm["name"] for vm in shown()["vms"]] == ["a"]
    assert create("b", "300G").status == 0
    assert shown()["free"] == 0
    cli("destroy", "--vm", "a")
    assert shown()["free"] == 500 * G


def test_transient_memory_shares_the_limit(cli, create, shown):
    cli("host", "set", "--limit", "1T", "--reservoir", "800G")
    assert create("a", "224G", reservoir=False).status == 0
    assert create("b", "2M", reservoir=False).status == 1
    assert create("c", "800G").status == 0
    assert (shown()["left"], shown()["transient"]) == (0, 224 * G)


def test_a_vm_that_panicked_took_its_host_with_it(cli, create, shown):
    cli("host", "set", "--limit", "2T", "--reservoir", "2T")
    assert create("c", "1T", more="kernel: {gpt: 15844}\n").status == 3
    assert shown()["free"] == 2 << 40


def test_replace_gives_back_first(cli, create, vm_file, shown):
    cli("host", "set", "--limit", "1T", "--reservoir", "10G")
    assert create("a", "10G").status == 0
    path = vm_file("name: a\nmemory: 9G\nbootrom: 0\ntouch: none\nreservoir: true\n", "again.yaml")
    assert cli("create", "--config", path).status == 1  # EEXIST
    assert cli("create", "--replace", "--config", path).status == 0
    assert shown()["free"] == G


def test_bhyvectls_set_mem_and_alloc_memseg_take_of_it_too(cli, shown):
    cli("host", "set", "--limit", "8M")
    cli("--create", "--vm=x")
    assert "ENOMEM" in cli("--vm=x", "--set-mem=16").err
    assert cli("--vm=x", "--set-mem=6").status == 0
    assert "ENOMEM" in cli("alloc-memseg", "--vm", "x", "3", "--size", "4M").err
    assert cli("alloc-memseg", "--vm", "x", "3", "--size", "2M").status == 0
    assert shown()["left"] == 0


def test_the_kernels_checks_of_a_resize(cli, create, shown):
    create("a", "4G")
    cli("host", "set", "--limit", "8G")
    assert shown()["reservoir"] == 4 * G  # what VMs have of it
    for size, errno in (("2G", "ENOSPC"), ("9G", "ENOSPC"), ("4097", "EINVAL")):
        refused = cli("host", "set", "--reservoir", size)
        assert refused.status == 1
        assert errno in refused.err
    assert cli("host", "set", "--reservoir", "8G").status == 0
    assert cli("host", "set", "--reservoir", "4G").status == 0


def test_statistics_of_a_real_host(cli, create, vm_file, shown):
    path = vm_file(kstat(700 * G, 100 * G, 1000 * G, 50 * G), "kstat.txt")
    assert cli("host", "set", "--kstat", path, "--phys-bits", "46").status == 0
    host = shown()
    assert {key: host[key] for key in ("limit", "reservoir", "free", "allocated", "left")} == {
        "limit": 1000 * G,
        "reservoir": 800 * G,
        "free": 100 * G,
        "allocated": 700 * G,
        "left": 150 * G,
    }
    assert (host["taken"], host["others_transient"], host["phys_bits"]) == (700 * G, 50 * G, 46)
    assert "short by 40G" in create("a", "140G").err
    assert create("a", "100G").status == 0
    # what is not given stays
    cli("host", "set", "--phys-bits", "48")
    assert (shown()["limit"], shown()["free"]) == (1000 * G, 0)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "kstat.txt:1: vmm:0:vmm_reservoir:bytes_free is missing"),
        ("nonsense\n", "kstat.txt:1: no statistic"),
        (kstat(0, "many", 0, 0), "kstat.txt:3: 'many' is no number of bytes"),
        (kstat(0, 1 << 64, 0, 0), "kstat.txt:3: "),
        (kstat(0, "²", 0, 0), "kstat.txt:3: "),
        (kstat(0, 0, 0, 0) + KSTAT.format("bytes_free", 1), "kstat.txt:8: bytes_free differs"),
        ("vmm:0:vmm_reservoir:bytes_free\t1\n", "bytes_alloc is missing"),
        ("\x1b[31m\n", "kstat.txt:1: "),
    ],
)
def test_statistics_that_are_none(cli, vm_file, text, complaint):
    refused = cli("host", "set", "--kstat", vm_file(text, "kstat.txt"))
    assert (refused.status, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert complaint in refused.err
    assert "\x1b" not in refused.err
    assert "no end" in cli("host", "show").err


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--memory", "1T", "--limit", "1T"],
        ["--locked", "1G"],
        ["--memory", "1G", "--locked", "1T"],
        ["--phys-bits", "64"],
        ["--kstat", "/nonexistent"],
    ],
)
def test_usage(cli, argv):
    refused = cli("host", "set", *argv)
    assert (refused.status, refused.out) == (2, "")
    assert refused.err.count("\n") == 1


def test_a_dry_run_says_nothing_of_the_host(cli):
    assert cli("host", "set", "--limit", "1G", "--dry-run").status == 0
    assert cli("host", "forget").status == 1


def test_forgetting(cli, create):
    cli("host", "set", "--limit", "1G")
    assert create("a", "2G", reservoir=False).status == 1
    cli("host", "forget")
    assert create("a", "2G", reservoir=False).status == 0


def test_check_tells_the_shape_from_the_memory(cli, vm_file):
    cli("host", "set", "--limit", "1T", "--reservoir", "300G", "--phys-bits", "40")
    good = vm_file("name: g\nmemory: 340G\nbootrom: 0\nreservoir: true\nkernel: {gpt: 2025}\n")
    told = cli("check", good)
    assert told.status == 1
    assert (
        "error BV116 (host-memory-short): the shape is fine; the reservoir is short by 40G: "
        in (told.out)
    )
    assert "its page tables take 0.67 GiB of kernel memory" in told.out
    bad = vm_file("name: g\nmemory: 1100G\nbootrom: 0\nreservoir: true\n", "bad.yaml")
    told = cli("check", bad).out
    assert "shape is fine" not in told
    assert "BV116 (host-memory-short): the reservoir is short by 800G" in told
    assert "BV117 (past-physical-width)" in told
    both = cli("check", good, bad).out
    assert both.endswith(
        "Together: the reservoir is short by 1140G: 1440G asked, 300G free (ENOMEM).\n"
    )


def test_what_page_tables_cost_without_a_host(cli, vm_file):
    told = cli("check", vm_file("name: g\nmemory: 1T\nkernel: {gpt: 2025}\n"))
    assert "note BV118 (page-tables): its page tables take 2.00 GiB of kernel memory" in told.out
    assert told.status == 0
    assert "BV118" not in cli("check", vm_file("name: g\nmemory: 8G\n", "small.yaml")).out


def test_a_stored_vm_has_its_memory(cli, create):
    cli("host", "set", "--limit", "1T", "--reservoir", "100G")
    create("a", "100G")
    assert "BV116" not in cli("check", "--all").out


def test_matrix_judges_the_shape_and_notes_the_memory(cli, vm_file):
    cli("host", "set", "--limit", "1T", "--reservoir", "3G")
    path = vm_file("name: g\nmemory: 4G\nbootrom: 0\nreservoir: true\n")
    told = cli("matrix", path, "--gpt", "2025", "--format", "json")
    assert told.status == 0
    matrix = json.loads(told.out)
    assert all(kernel["safe"] for kernel in matrix["kernels"])
    assert (
        f"{path}: the reservoir is short by 1G: 4G asked, 3G free; a start is refused (ENOMEM)."
        in (matrix["notes"])
    )


def test_a_host_in_a_scenario(cli, vm_file):
    text = (
        "title: short\nhost: {memory: 1T, reservoir: 800G, taken: 500G}\n"
        "vm: {name: x, memory: 340G, bootrom: 0, reservoir: RESERVOIR}\n"
        "matrix: {gpt: [13932, 2025]}\nsteps:\n  - create:\n    expect: EXPECT\n"
    )
    short = vm_file(text.replace("RESERVOIR", "true").replace("EXPECT", "ENOMEM"))
    assert cli("run", short, "--jobs", "1").status == 0
    wrong = vm_file(text.replace("RESERVOIR", "true").replace("EXPECT", "ok"), "wrong.yaml")
    assert cli("run", wrong, "--jobs", "1").status == 1
    beside = vm_file(text.replace("RESERVOIR", "false").replace("EXPECT", "ENOMEM"), "beside.yaml")
    assert cli("run", beside, "--jobs", "1").status == 0  # 224 GiB are left below the limit


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("{memory: 1T, limit: 1T}", ":2:20: "),
        ("{reservoir: 1G, taken: 2G}", ":2:23: "),
        ("{limit: 1G, reservoir: 2G}", ":2:7: "),
        ("{reservoir: 17}", ":2:19: "),
        ("{disks: 4}", ":2:8: "),
    ],
)
def test_a_host_that_cannot_be(cli, vm_file, host, place):
    text = f"title: t\nhost: {host}\nvm: {{name: x, memory: 1M}}\nsteps: [create]\n"
    refused = cli("run", vm_file(text))
    assert refused.status == 2
    assert place in refused.err


def test_two_that_start_at_once_do_not_share_a_byte(cli, vm_file, shown, monkeypatch):
    """Each found room when it looked; the second finds none when it writes."""
    from bhyvesim.config.vm import load
    from bhyvesim.host.host import Host

    cli("host", "set", "--limit", "10M", "--reservoir", "10M")
    text = "name: {}\nmemory: 6M\nbootrom: 0\ntouch: none\nreservoir: true\n"
    results = []

    def start(name):
        try:
            Host(Store(), lambda: 0).create(load(text.format(name), "x"))
            results.append("ok")
        except Exception as error:
            results.append(type(error).__name__)

    threads = [threading.Thread(target=start, args=(f"vm{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["Refused"] * 5 + ["ok"]
    assert shown()["free"] == 4 << 20


def test_a_damaged_host_is_no_endless_one(cli, create):
    import sqlite3

    cli("host", "set", "--limit", "1G")
    with sqlite3.connect(Store().path) as db:
        db.execute("UPDATE host SET body = replace(body, '1073741824', '9073741824')")
    db.close()
    refused = create("a", "1M", reservoir=False)
    assert refused.status == 4
    assert "the host is damaged" in refused.err


def test_a_state_of_before_is_brought_up_to_date(cli, create):
    import sqlite3

    create("a", "1G")
    with sqlite3.connect(Store().path) as db:
        db.execute("DROP TABLE host")
        db.execute("PRAGMA user_version = 4")
    db.close()
    assert json.loads(cli("list", "--format", "json").out)["vms"][0]["name"] == "a"
    assert "no end" in cli("host", "show").err
    assert cli("host", "set", "--limit", "2G").status == 0
    assert json.loads(cli("host", "show", "--format", "json").out)["left"] == G


def test_a_migrated_vm_follows_its_source_and_a_copy_needs_room(cli, create, shown):
    cli("host", "set", "--limit", "1G", "--reservoir", "10M")
    create("a", "6M", more="track_dirty: true\n")
    kept = cli("migrate", "--vm", "a", "--to", "b", "--keep")
    assert kept.status == 1
    assert "ENOMEM" in kept.err
    assert cli("migrate", "--vm", "a", "--to", "b").status == 0
    assert [vm["name"] for vm in shown()["vms"]] == ["b"]
    assert shown()["free"] == 4 << 20
