"""Prototypes of the kernel's functions, as the tables of revisions have them."""

from __future__ import annotations

import pytest

from bhyvesim.kernel.functions import Function, Param


def test_a_prototype():
    found = Function.of("viona:vmm_page_t *f_{x}([ring_t *r], uint64_t gpa, struct vm **vm)")
    assert found == Function(
        "viona",
        "f_{x}",
        (
            Param("ring_t *", "r", False),
            Param("uint64_t", "gpa", True),
            Param("struct vm **", "vm", True),
        ),
        "vmm_page_t *",
    )
    assert str(found) == "vmm_page_t *f_{x}(ring_t *r, uint64_t gpa, struct vm **vm)"
    assert Function.of("void f()") == Function("vmm", "f", (), "void")


@pytest.mark.parametrize(
    "text",
    [
        *("", "f()", "int f", "int f(int a", "int (int a)", "int f(int a,int b)", "int f(int)"),
        *("int f(int (*cb)(int))", "int f(int a))", "int f(int a, )", "a b:int f(int a)"),
        ":int f()",
    ],
)
def test_what_is_no_prototype(text):
    with pytest.raises(AssertionError):
        Function.of(text)
