"""Commands that are done without click: what they do then is what click would have done."""

from __future__ import annotations

import pytest

from bhyvesim.cli import life, root, showing
from bhyvesim.cli.plain import done_plainly
from bhyvesim.cli.session import Session
from bhyvesim.vm.spec import TouchSpec

BEFORE = ["-q", "--quiet", "-v", "--verbose", "--trust-state", "--vm=a", "--vm", "--format"]
GOOD = [
    *("-q", "-v", "--verbose", "--vm=a", "a", "--format=json", "--format=plain", "--dry-run"),
    *("--gpa=0x1000", "--gpa=4G", "--len=8K", "--access=w", "--access=r,w", "--vm", "--gpa"),
]
ODD = [
    *("--quiet", "--trust-state", "--vm=", "b", "--format", "json", "xml", "--force", "--all"),
    *("4G", "1Q", "--len", "--len=0", "--access", "rw", "rr", "--by", "device", "--at", "0", "--"),
    *("--crash", "", "-", "-h", "--unknown", "-qv", "--gpa=", "--gpa= 4K", "touch", "--v=a"),
    *("--dry-run=1", "ä", "a\nb", "--access=r,x"),
]
COMMANDS = ["show", "reboot", "touch", "destroy", "list", "pause"]


UNTOUCHED = ([], None, False, False, False, False, None, None)


class Asked:
    """What a command line came to, where nothing is really done."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.calls: list[tuple[object, ...]] = []

    def told(self, name):
        def told(session, *args, **named):
            assert session is self.session
            self.calls.append((name, args, named))
            return 7

        return told

    def all(self):
        s = self.session
        return self.calls, s.vm, s.quiet, s.verbose, s.trusted, s.dry_run, s.at, s.crash


def asked(run, argv) -> tuple[object, Asked]:
    """What *run* returns, and what it asked for."""
    session = Session()
    told = Asked(session)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(showing, "show", told.told("show"))
        for name in ("reboot", "touch"):
            patch.setattr(life, name, told.told(name))
        patch.setattr(
            life,
            "destroy",
            lambda session, names, fmt, several: told.told("destroy")(session, names, fmt, several),
        )
        patch.setattr(Session, "which", lambda session: session.vm or "the only one")
        return run(argv, session), told


def both(argv):
    """What *argv* comes to when done plainly, and by click; if left to click, the session twice."""
    status, plain = asked(done_plainly, argv)
    if status is None:
        return UNTOUCHED, plain.all()
    by_click, told = asked(root.main, argv)
    return (status, plain.all()), (by_click, told.all())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_alone_means_what_it_means_to_click(command):
    lines = [[command, word] for word in (*GOOD, *ODD)] + [[word, command] for word in BEFORE]
    lines += [["touch", "--gpa=0", word] for word in (*GOOD, *ODD)]
    came = [both(line) for line in lines]
    assert [plain for plain, _ in came] == [by_click for _, by_click in came]
    assert sum(plain != UNTOUCHED for plain, _ in came) > 10


@pytest.mark.parametrize(
    ("line", "call"),
    [
        ("show", ("show", (None,), {})),
        ("--vm=a show --format json", ("show", ("json",), {})),
        ("--format=json show a", ("show", ("json",), {})),
        ("-q reboot a --dry-run", ("reboot", (None,), {})),
        ("touch a --gpa 0x1000", ("touch", (TouchSpec(0x1000, 4096, 1), None), {})),
        (
            "touch --vm a --gpa=1M --len 8K --access rw --format plain",
            ("touch", (TouchSpec(1 << 20, 8192, 3), "plain"), {}),
        ),
        ("destroy a", ("destroy", (["a"], None, False), {})),
        ("--trust-state destroy", ("destroy", (["the only one"], None, False), {})),
    ],
)
def test_what_is_said_plainly_is_done_plainly(line, call):
    status, told = asked(done_plainly, line.split())
    assert told.calls == [call]
    assert status == (0 if call[0] == "reboot" or call[0] == "show" else 7)
    by_click, again = asked(root.main, line.split())
    assert again.all() == told.all()
    assert by_click == status


@pytest.mark.parametrize(
    "line",
    [
        *("", "list", "create x", "reboot a b", "reboot --vm=a a", "reboot --vm", "reboot -- a"),
        *("touch", "touch --gpa x", "touch --gpa 0 --len 0", "touch --gpa 0 --by device"),
        *("destroy --all", "destroy --force a", "destroy a b", "show --at 1", "show --crash 1"),
        *("show --dry-run", "touch --gpa 0 --dry-run", "reboot --trust-state", "--dry-run reboot"),
        *("reboot --format xml", "reboot --revision-file x.py", "--color always show", "reboot -h"),
    ],
)
def test_the_rest_is_left_to_click(line):
    status, told = asked(done_plainly, line.split())
    assert status is None
    assert told.calls == []
