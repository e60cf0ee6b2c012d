"""What accesses of guest memory come to; one form for the tables, the vmspace and the machine."""

from __future__ import annotations

from typing import NamedTuple

FC_NOMAP = "FC_NOMAP"  # nothing is mapped there, or a holder found no page
FC_PROT = "FC_PROT"  # what is mapped does not permit it
FAULTS = (FC_NOMAP, FC_PROT)
HOLE = "hole"  # between tables and vmspace: a table, but no mapping; for the vmspace to judge


class Access(NamedTuple):
    """Accesses of guest memory: pages accessed, entries newly set, and the first failure, if any.

    ``fault`` is FC_NOMAP or FC_PROT, ``gpa`` the address of the page where it came.
    """

    ok: int
    mapped: int
    fault: str | None = None
    gpa: int | None = None


ONE_SEEN = Access(1, 0)
ONE_MAPPED = Access(1, 1)
