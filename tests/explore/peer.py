"""The naive oracle as another implementation: the protocol of 'bhyvesim lockstep' on its pipes.

``--mistake NAME`` plants one of those in tests.explore.oracle_mistakes.py.
"""

from __future__ import annotations

import json
import sys

from tests.oracle import Oracle


def serve(oracle_of=Oracle) -> None:
    """Answer line by line until there are no more."""
    oracle = None
    for line in sys.stdin:
        keys = json.loads(line)
        op = keys.pop("op")
        if op == "create":
            oracle = oracle_of(**keys)
            result = {"ok": 0}
        else:
            result = oracle.op(op, **keys)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--mistake"]:
        from tests.explore.oracle_mistakes import MISTAKES

        serve(MISTAKES[sys.argv[2]])
    else:
        serve()
