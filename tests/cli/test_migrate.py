"""migrate: stored VMs, what is printed, and what becomes of both ends."""

from __future__ import annotations

import json

import pytest

from bhyvesim.kernel.revisions import REVISIONS

WEB = (
    'name: web\nkernel: {gpt: "2025"}\ncpu: amd\nvmm: propolis\nmemory: 64M\nbootrom: 2M\n'
    "track_dirty: true\ntouch: all\n"
)


@pytest.fixture
def web(cli, vm_file):
    """A VM of 64 MiB whose dirty pages are tracked."""
    assert cli("create", "--config", vm_file(WEB, "web.yaml")).status == 0
    return cli


def names(cli):
    return [vm["name"] for vm in json.loads(cli("list", "--format=json").out)["vms"]]


def test_the_guest_is_there_and_the_source_is_gone(web):
    done = web("migrate", "web", "--to", "web2")
    assert done.status == 0
    assert done.out.splitlines() == [
        "web to web2: kernel 2025 DEBUG, RVI; all-first; seed 0",
        "",
        "HOP  ATTEMPT   ROUND  OFFERED   SENT  AGAIN  GUEST  DEVICE",
        "  1        1       1    16384  16384      0     44      20",
        "  1        1  paused       43     43     43     51      13",
        "",
        "16427 pages sent, 43 of them again",
        "all arrived: the bytes at both ends are the same",
    ]
    assert done.err == "bhyvesim: migrated web, which is gone, to web2\n"
    assert names(web) == ["web2"]
    assert "migrate from web  arrive  sent 16427 pages" in web("log").out
    assert "migrate to web2  destroy       nothing leaked" in web("log", "--vm", "web").out
    assert web("fsck").status == 0
    assert web("reboot").status == 0
    assert web("destroy").status == 0


def test_what_the_guest_had_written_is_there(web):
    web("poke", "--gpa", "0x5000", "--value", "0x1234")
    web("migrate", "--to", "web2", "--writes", "0", "--discipline", "dirty-only")
    assert " 34 12 00" in web("peek", "--gpa", "0x5000", "--len", "8").out
    shown = web("dirty", "--gpa", "0", "--len", "64M").out
    assert shown.split()[2:] == ["0x0", "16384"]  # marked: a second hop will offer it


def test_undo_takes_both_ends_back(web):
    web("migrate", "--to", "web2")
    assert "(migrate from web): there is no web2 any more" in web("undo").err
    assert "(migrate to web2): web is back" in web("undo", "--vm", "web").err
    assert names(web) == ["web"]


def test_keep_leaves_the_source_as_it_was(web):
    before = json.loads(web("log", "--format=json").out)["events"]
    pte = web("walk", "0x1000").out
    assert "web, which stays as it was, to" in web("migrate", "--to", "b", "--keep").err
    assert names(web) == ["b", "web"]
    assert json.loads(web("log", "--vm=web", "--format=json").out)["events"] == before
    assert web("walk", "0x1000", "--vm=web").out == pte


def test_a_dry_run_stores_nothing(web):
    done = web("migrate", "web", "--to", "web2", "--dry-run")
    assert (done.status, done.err) == (
        0,
        "bhyvesim: dry run: would migrate web to web2\n",
    )
    assert names(web) == ["web"]


@pytest.mark.parametrize(
    "mistake",
    [
        ("--discipline=arrived-clean", "--hops=2"),
        ("--discipline=taken-lost", "--fail-after=1"),
        ("--discipline=taken-lost", "--fail-after=paused"),
        ("--device-writes=mapped", "--devices=100"),
        ("--device-writes=deferred", "--devices=100"),
    ],
)
def test_losses_are_status_1(web, mistake):
    done = web("migrate", "--to", "b", *mistake)
    assert done.status == 1
    assert "pages never arrived as last written: " in done.out
    told = done.out.partition("LAST WRITTEN\n")[2].splitlines()
    assert len(told) == 4
    assert told[-1].startswith("and ")
    web("undo")
    web("undo", "--vm=web")
    document = json.loads(web("migrate", "--to", "c", "--format=json", *mistake).out)
    assert document["lost"] == sum(gone["pages"] for gone in document["missing"])
    assert document["lost"] == sum(document["by"].values())
    assert document["more"] == 0


def test_more_runs_than_a_document_holds_are_counted(web):
    many = ("--device-writes=mapped", "--devices=100", "--writes=9000", "--rounds=2")
    document = json.loads(web("migrate", "--to", "b", "--format=json", *many).out)
    listed = sum(gone["pages"] for gone in document["missing"])
    assert len(document["missing"]) == 1000
    assert document["more"] == document["lost"] - listed > 0


def test_a_seed_reproduces(web):
    ways = ("--to=b", "--dry-run", "--discipline=arrived-clean", "--hops=2", "--seed")
    one, same, other = (web("migrate", *ways, seed).out for seed in ("7", "7", "8"))
    assert one == same != other


@pytest.mark.parametrize("gpt", REVISIONS)
def test_a_kernel_says_what_it_does_not_offer(cli, vm_file, gpt):
    cli("create", "--config", vm_file(WEB, "web.yaml"), "--gpt", gpt)
    done = cli("migrate", "--to", "b")
    ioctls = REVISIONS[gpt].ioctls
    assert done.status == (0 if ioctls.track_dirty_pages else 1)
    if not ioctls.track_dirty_pages:
        assert done.err == f"bhyvesim: kernel {gpt} has no VM_TRACK_DIRTY_PAGES (ENOTTY)\n"
        assert names(cli) == ["web"]
    never = cli("migrate", "--to", "c", "--discipline=never-reset")
    assert ("VM_NPT_OPERATION (ENOTTY)" in never.err) is not ioctls.npt_operation


def test_without_tracking_nothing_is_dirty(cli, vm_file):
    cli("create", "--config", vm_file(WEB.replace("track_dirty: true\n", ""), "web.yaml"))
    done = cli("migrate", "--to", "b")
    assert done.err == "bhyvesim: the VM does not track dirty pages (EPERM)\n"
    assert (done.status, names(cli)) == (1, ["web"])


def test_a_processor_that_sets_no_dirty_bits_is_named(cli, vm_file):
    cli("create", "--config", vm_file(WEB.replace("amd", "intel"), "w.yaml"), "--gpt=14367")
    done = cli("migrate", "--to", "b")
    assert done.status == 1
    assert "on kernel 14367 this processor sets no dirty bits" in done.out
    assert "19 written by the guest\n" in done.out


def test_a_later_migration_remembers_that_it_does_not_know(web):
    web("migrate", "--to", "b")  # all-first: no bit tells what arrived
    lost = web("migrate", "--to", "c", "--discipline=dirty-only", "--keep")
    assert (lost.status, "may have been written" in lost.out) == (1, True)
    assert web("migrate", "--vm=b", "--to", "d").status == 0


def test_marks_last_for_a_later_migration(web):
    web("migrate", "--to", "b", "--discipline=dirty-only")
    assert web("migrate", "--to", "c", "--discipline=dirty-only").status == 0


def test_the_target_may_panic(cli, vm_file):
    big = WEB.replace("64M", "1T").replace("web", "big")
    cli("create", "--config", vm_file(big, "big.yaml"), "--gpt=14367")
    done = cli("migrate", "--to", "b", "--gpt=15844")
    assert done.status == 3
    assert "b panicked during migrate; its dump is crash 1" in done.err
    assert names(cli) == ["b", "big"]  # the source runs on
    shown = json.loads(cli("list", "--format=json").out)["vms"]
    assert [vm["state"] for vm in shown] == ["panicked", "running"]
    assert cli("explain", "1").status == 0


def test_a_held_page_hangs_the_source_when_it_is_destroyed(web):
    web("hold", "--gpa", "0x1000")
    done = web("migrate", "--to", "b")
    assert done.status == 3
    shown = json.loads(web("list", "--format=json").out)["vms"]
    assert [(vm["name"], vm["state"]) for vm in shown] == [("b", "running"), ("web", "hung")]


def test_a_vm_that_does_not_run_is_refused(web):
    web("--force-poweroff")
    assert "(EBUSY)" in web("migrate", "--to", "b").err
    web("reboot")
    web("hold", "--gpa", "0x1000")
    assert web("destroy").status == 3
    assert "web has hung" in web("migrate", "--to", "b").err


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (("web", "--to=web"), 1, "web cannot be migrated to itself (EEXIST)"),
        (("nobody", "--to=b"), 1, "there is no VM named nobody (ENOENT)"),
        (("web", "--vm=other", "--to=b"), 2, "expected one VM"),
        (("web", "--to=a/b"), 2, "the name names a path"),
        (("web", "--to="), 2, "the name is empty"),
        (("web", "--to=b", "--fail-after=2"), 2, "'2' is no round: expected 1 to 1, or paused"),
        (("web", "--to=b", "--fail-after=\x1b["), 2, r"'\x1b[' is no round"),
        (("web", "--to=b", "--writes=9999", "--hops=8"), 2, "159984 writes in all rounds"),
        (("web", "--to=b", "--rounds=0"), 2, "0 is not in the range"),
        (("web",), 2, "--to"),
        (("web", "--to=b", "--device-writes=late"), 1, "hold a page until they wrote to it"),
    ],
)
def test_what_is_asked_wrongly(web, argv, status, said):
    done = web("migrate", *argv)
    assert done.status == status
    assert said in done.err
    assert done.err.count("\n") == 1
    assert (done.out, names(web)) == ("", ["web"])


def test_a_name_that_is_taken(web, vm_file):
    web("create", "--config", vm_file(WEB, "web.yaml"), "--vm=other")
    assert "there is a VM named other already (EEXIST)" in web("migrate", "web", "--to=other").err


def test_the_past_of_a_vm_that_came_by_migration(web):
    web("migrate", "--to", "b", "--discipline=dirty-only")
    why = web("why", "0x1000").out
    assert "event 1 step 1 (migrate: arrive): mapped by migrate" in why
    assert web("touch", "--gpa=0x1000", "--access=w").status == 0
    assert web("walk", "0x1000", "--at=1").status == 0
    done = web("diff", "--on", "2025,15844")
    assert (done.status, "does not begin with its create" in done.err) == (2, True)


def test_what_a_target_gets_can_be_replayed(web, cli, tmp_path):
    done = web("trace", "--format=replay", "--", "migrate", "web", "--to=b")
    assert done.status == 0
    file = tmp_path / "ops.jsonl"
    file.write_text(done.out + '{"op":"dump"}\n')
    replayed = [json.loads(line) for line in cli("replay", str(file)).out.splitlines()]
    assert all(result.get("ok") == 0 for result in replayed)
    assert len(replayed[-1]["memmap"]) == 2


def test_the_ioctls_of_both_ends_can_be_heard(web):
    probe = ("trace", "-n", "vm_track_dirty_pages:entry", "--")
    heard = web(*probe, "migrate", "web", "--to=b", "--rounds=3")
    assert heard.out == (
        "vm_track_dirty_pages:entry  uint64_t gpa = 0, size_t len = 0x4000000  (4 times)\n"
    )


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_it_fits_a_terminal(web, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    ways = ("--discipline=taken-lost", "--fail-after=1", "--device-writes=mapped", "--dry-run")
    done = web("migrate", "web", "--to=a-rather-long-name-of-a-vm", *ways, "--format=table")
    assert done.status == 1
    assert max(map(len, done.out.splitlines())) <= columns
