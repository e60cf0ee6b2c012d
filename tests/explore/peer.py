"""The naive oracle as another implementation: the protocol of 'bhyvesim lockstep' on its pipes.

``--mistake NAME`` plants one of those in tests/explore/oracle_mistakes.py; ``--behave WAY`` makes
it break the protocol, or follow it in an unusual way.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time

from tests.explore.oracle_mistakes import MISTAKES
from tests.oracle import Oracle


class Server:
    """Answers line by line until there are no more."""

    def __init__(self, oracle_of=Oracle):
        self.oracle_of = oracle_of
        self.oracle = None

    def answer(self, op, **keys):
        if op == "create":
            self.oracle = self.oracle_of(**keys)
            return {"ok": 0}
        return self.oracle.op(op, **keys)

    def say(self, result):
        print(json.dumps(result), flush=True)

    def serve(self):
        for line in sys.stdin:
            self.say(self.answer(**json.loads(line)))


class IsKilled(Server):
    def answer(self, op, **keys):
        if op == "munmap_memseg":
            os.kill(os.getpid(), 9)
        return super().answer(op, **keys)


class LeavesAChild(Server):
    """It ends, but a child of its own has the pipes, and waits."""

    def answer(self, op, **keys):
        if op == "munmap_memseg" and os.fork():
            sys.exit(0)
        if op == "munmap_memseg":
            time.sleep(1000)
        return super().answer(op, **keys)


class TalksNonsense(Server):
    """In place of a state with a memmap."""

    def say(self, result):
        print("mapped" if result.get("memmap") else json.dumps(result), flush=True)


class SaysItTwice(Server):
    def say(self, result):
        print(f"{json.dumps(result)}\n{json.dumps(result)}", flush=True)


class LivesOnce(Server):
    """A second create is more than it can take."""

    def answer(self, op, **keys):
        if op == "create" and self.oracle is not None:
            sys.exit(1)
        return super().answer(op, **keys)


class ForgetsNoSegments(Server):
    """Segments outlive a create."""

    def answer(self, op, **keys):
        segments = self.oracle.segs if self.oracle is not None and op == "create" else {}
        result = super().answer(op, **keys)
        self.oracle.segs |= segments
        return result


class IsMoody(Server):
    """Wrong once, in one process of many."""

    def answer(self, op, **keys):
        mood = os.environ["MOOD"]
        result = super().answer(op, **keys)
        if result.get("memmap") and not os.path.exists(mood):
            open(mood, "x").close()
            return {**result, "resident": 77}
        return result


class SplitsItsRows(Server):
    """Every row stands for one, and in no order: nothing is wrong with that."""

    def answer(self, op, **keys):
        result = super().answer(op, **keys)
        if "nodes" in result:
            span = {1: 1 << 21, 2: 1 << 30, 3: 1 << 39, 4: 1 << 48}
            result["nodes"] = [
                [level, gpa + i * span[level], 1, *rest]
                for level, gpa, count, *rest in reversed(_twins_kept(result["nodes"]))
                for i in range(count)
            ]
            result["ptes"] = [
                [gpa + i * 4096, 1, pte + i * 4096]
                for gpa, pages, pte in result["ptes"]
                for i in range(pages)
            ]
            random.Random(1).shuffle(result["ptes"])
            result["memmap"].reverse()
        return result


def _twins_kept(rows):
    """*rows* so that, reversed, the newer of two tables of one address still comes first."""
    rows = list(rows)
    for i in range(len(rows) - 1):
        if rows[i][:2] == rows[i + 1][:2]:
            rows[i], rows[i + 1] = rows[i + 1], rows[i]
    return rows


WAYS = {cls.__name__: cls for cls in Server.__subclasses__()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mistake", choices=MISTAKES)
    parser.add_argument("--behave", choices=WAYS)
    options = parser.parse_args()
    server = WAYS[options.behave] if options.behave else Server
    server(MISTAKES[options.mistake] if options.mistake else Oracle).serve()


if __name__ == "__main__":
    main()
