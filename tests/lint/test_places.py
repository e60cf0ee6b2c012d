"""The holes of a VM's leaf tables, against plain sets of pages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bhyvesim.lint.places import Place, holes
from bhyvesim.span import Span

PAGE = 4096
CUTS = st.lists(st.integers(0, 2100), min_size=2, max_size=10, unique=True)


@given(CUTS)
def test_holes_are_the_pages_of_used_leaves_that_nothing_maps(cuts):
    cuts = sorted(cuts)
    spans = [Span(a * PAGE, b * PAGE) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    mapped = {page for span in spans for page in span.pages}
    leaves = {page // 512 for page in mapped}
    in_leaves = {leaf * 512 + slot for leaf in leaves for slot in range(512)}

    places = [Place(span, i) for i, span in enumerate(spans)]
    found = [page for hole, _ in holes(places) for page in hole.pages]
    assert sorted(found) == sorted(in_leaves - mapped)
    for hole, beside in holes(places):
        assert beside.span.end == hole.start or beside.span.start == hole.end
