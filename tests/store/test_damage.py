"""Rows that are not as they were written: status 4, one line, for the VM that they are of."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bhyvesim.store import codec
from bhyvesim.store.rows import checksum
from bhyvesim.store.store import Store

MOMENT = ("life", "seq", "state", "spec", "maps", "outline", "resident", "parts", "crash")


@pytest.fixture(autouse=True)
def _three_vms(cli, config):
    for name in ("after", "damaged", "before"):
        cli("create", "--config", config("testvm"), "--vm", name)


def execute(sql, *values):
    with closing(sqlite3.connect(Store().path)) as db:
        rows = db.execute(sql, values).fetchall()
        db.commit()
    return rows


def is_refused_alone(cli):
    for command in (["--vm=damaged", "--get-eptp"], ["--vm=damaged", "reboot"]):
        status, out, err = cli(*command)
        assert (status, out, err.count("\n")) == (4, "", 1), err
        assert "the state of damaged is damaged (" in err
    assert cli("--vm=after", "reboot").status == 0
    shown = cli("list")
    assert [line.split()[0] for line in shown.out.splitlines()[1:3]] == ["after", "before"]
    assert cli("--vm=damaged", "destroy", "--force").status == 0
    assert cli("list").status == 0


LAST = "life = 2 AND seq = (SELECT seq FROM vm WHERE name = 'damaged')"


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE moment SET state = 'off'",
        "UPDATE moment SET maps = replace(maps, '3221225472', '3221225473')",
        "UPDATE moment SET maps = CAST(x'7b22ff' AS TEXT)",
        "UPDATE moment SET outline = x'00'",
        "UPDATE moment SET resident = '7'",
        "UPDATE moment SET sum = 'x'",
        "DELETE FROM moment",
    ],
)
def test_a_changed_moment(cli, damage):
    execute(f"{damage} WHERE {LAST}")
    is_refused_alone(cli)


def test_a_description_that_was_changed_or_is_gone(cli):
    (digest,) = execute(f"SELECT spec FROM moment WHERE {LAST}")[0]
    execute("UPDATE spec SET body = replace(body, 'damaged', 'another') WHERE digest = ?", digest)
    is_refused_alone(cli)


def test_a_vm_at_no_moment(cli):
    execute("UPDATE vm SET life = 'many' WHERE name = 'damaged'")
    is_refused_alone(cli)


@pytest.mark.parametrize("column", ["kind", "first", '"end"', "entries", "hash"])
@pytest.mark.parametrize("value", ["'x'", "x'00'", "1.5"])
def test_a_part_that_is_of_another_kind(cli, column, value):
    """SQLite keeps a value of any type in any column."""
    execute(f"UPDATE part SET {column} = {value} WHERE life = 2 AND kind = 1")
    found = cli("state", "check")
    assert found.status == 1
    assert "damaged" in found.out
    is_refused_alone(cli)


@pytest.mark.parametrize("column", ["since", "until"])
def test_a_part_of_no_time(cli, column):
    execute(f"UPDATE part SET {column} = 'x' WHERE life = 2 AND kind = 1")
    assert cli("state", "check").status == 1
    assert cli("--vm=after", "reboot").status == 0


def test_a_name_in_the_schema_that_is_no_utf8(cli):
    """SQLite says what is wrong with the file's own bytes, which Python cannot read."""
    path = Path(Store().path)
    data = path.read_bytes()
    at = data.index(b"CHECK") + 4
    path.write_bytes(data[:at] + bytes([data[at] ^ 0x80]) + data[at + 1 :])
    for command in (["show", "after"], ["destroy", "--force", "damaged"], ["list"]):
        status, out, err = cli(*command)
        assert (status, out, err.count("\n")) == (4, "", 1), err
        assert err.startswith(f"bhyvesim: {path} is damaged (")
    status, out, err = cli("state", "check")
    assert status in (1, 4)
    assert "Traceback" not in err


@pytest.mark.parametrize("column", ["body", '"end"', "first", "kind"])
def test_a_changed_part(cli, column):
    value = "x'789c'" if column == "body" else f"{column} + 64"
    execute(f"UPDATE part SET {column} = {value} WHERE life = 2 AND kind = 1")
    if column != "body":  # which is read where it is needed
        is_refused_alone(cli)
        return
    status, out, err = cli("--vm=damaged", "touch", "--gpa", "0xffe00000", "--access", "x")
    assert (status, out, err.count("\n")) == (4, "", 1), err
    assert "the state of damaged is damaged (" in err
    assert cli("--vm=after", "touch", "--gpa", "0xffe00000", "--access", "x").status == 0


def test_a_part_that_makes_sense_but_is_another(cli):
    cli("fill", "--vm=damaged", "--gpa", "0", "--len", "4K", "--byte", "7")
    number, body = execute("SELECT id, body FROM part WHERE life = 2 AND kind = 2")[0]
    other = codec.packed(codec.unpacked(body).replace(b"\7", b"\x08"))
    execute("UPDATE part SET body = ? WHERE id = ?", other, number)
    status, out, err = cli("--vm=damaged", "peek", "--gpa", "0")
    assert (status, out, err.count("\n")) == (4, "", 1), err
    assert "a part of its tables is not as it was written" in err


def test_a_part_that_is_gone(cli):
    execute("DELETE FROM part WHERE life = 2 AND kind = 1")
    is_refused_alone(cli)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("resident", -1),
        ("resident", "many"),
        ("twins", [1.5]),
        ("holds", [[1, 2]]),
        ("hardware_bits", 2),
        ("tracking", None),
        ("npt", "sparc"),
        ("last_hold", 1 << 70),
    ],
)
def test_a_value_that_cannot_be_though_its_checksum_fits(cli, key, value):
    row = execute(f"SELECT {', '.join(MOMENT)} FROM moment WHERE {LAST}")[0]
    columns = dict(zip(MOMENT, row, strict=True))
    outline = json.loads(codec.unpacked(columns["outline"]))
    columns["outline"] = codec.packed(json.dumps({**outline, key: value}).encode())
    execute(
        f"UPDATE moment SET outline = ?, sum = ? WHERE {LAST}",
        columns["outline"],
        checksum(*columns.values()),
    )
    is_refused_alone_by_its_engine(cli)


@pytest.mark.parametrize(
    "maps", ["[" * 100_000, "7", '{"segs": 3}', '{"segs": [], "slots": [], "next_host_pfn": 1e9}']
)
def test_maps_that_make_no_sense(cli, maps):
    row = execute(f"SELECT {', '.join(MOMENT)} FROM moment WHERE {LAST}")[0]
    columns = {**dict(zip(MOMENT, row, strict=True)), "maps": maps}
    execute(f"UPDATE moment SET maps = ?, sum = ? WHERE {LAST}", maps, checksum(*columns.values()))
    is_refused_alone_by_its_engine(cli)


def is_refused_alone_by_its_engine(cli):
    status, out, err = cli("--vm=damaged", "--get-stats")
    assert (status, out, err.count("\n")) == (4, "", 1), err
    assert "the state of damaged is damaged (" in err
    assert cli("--vm=before", "--get-stats").status == 0


def test_a_table_that_is_none(cli):
    execute("ALTER TABLE vm RENAME TO other")
    execute("CREATE VIEW vm AS SELECT 1 AS name")
    for command in (["list"], ["--vm=before", "reboot"]):
        status, out, err = cli(*command)
        assert (status, out, err.count("\n")) == (4, "", 1)


def test_crash_dumps_that_cannot_be_read_are_named(cli, config):
    cli("create", "--config", config("testvm-13932"), "--vm", "x")
    assert cli("--vm=x", "reboot").status == 3
    execute("UPDATE crash SET record = substr(record, 1, 300)")
    assert cli("crash", "list").status == 0  # the list reads none of them
    status, out, err = cli("crash", "show")
    assert (status, out) == (4, "")
    assert err.startswith("bhyvesim: the state of crash dump 1 is damaged (a damaged crash dump")
