"""13932 with the fix of bug 14042: ranges end where their callers say."""

from dataclasses import replace

from bhyvesim.kernel.revisions.closed_13932 import REVISION as OLD
from bhyvesim.kernel.revisions.closed_13932 import ClosedGpt


class HalfOpen(ClosedGpt):
    def pages_of(self, span):
        return span.pages  # 13932 takes one more


REVISION = replace(
    OLD,
    name="13932-fixed",
    date="proposed",
    summary="13932 with half-open ranges",
    engine=HalfOpen,
    like="14042",  # what scenarios expect of the kernel with the real fix
    offsets={},  # those of 13932's build are not those of this one
)
