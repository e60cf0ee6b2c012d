"""The bar of commands that go through many events."""

from __future__ import annotations

import io

import pytest

from bhyvesim.cli import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Every look at the clock is half a second after the last."""
    now = iter(n / 2 for n in range(1000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))


@pytest.mark.usefixtures("clock")
def test_a_bar_from_the_second_second_on(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    seen = []
    for item in progress.watched("abcdef"):
        seen.append(item)
        assert bool(terminal.getvalue()) == (item not in "a")
    assert "".join(seen) == "abcdef"
    assert "events" in terminal.getvalue()
    assert "/6" in terminal.getvalue()


@pytest.mark.usefixtures("clock")
def test_none_elsewhere(monkeypatch):
    monkeypatch.setattr("sys.stderr", pipe := io.StringIO())
    assert list(progress.watched(range(9))) == list(range(9))
    assert pipe.getvalue() == ""
