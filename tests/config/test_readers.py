"""The readers of single values: what they take, and what they say of the rest."""

from __future__ import annotations

import pytest

from bhyvesim.config import readers as r
from bhyvesim.config.document import ConfigError, parse

TAKEN = [
    (r.text, "word", "word"),
    (r.text, "'no'", "no"),
    (r.text, "''", ""),
    (r.boolean, "true", True),
    (r.integer, "0x10", 16),
    (r.integer, "-3", -3),
    (r.integer, "0o17", 15),
    (r.natural, "0", 0),
    (r.choice("a", "14042"), "14042", "14042"),
    (r.size, "2M", 2 << 20),
    (r.byte_count, "0", 0),
    (r.address, "0xffe00000", 0xFFE00000),
    (r.any_address, "4097", 4097),
    (r.length, "1", 1),
    (r.prot, "r-x", 5),
    (r.items(r.integer), "[1, 2]", (1, 2)),
]
REFUSED = [
    (r.text, "[]", "a list stands here: expected a string"),
    (r.text, "~", "nothing stands here: expected a string"),
    (r.boolean, "yes", "'yes' is not a boolean: expected true or false"),
    (r.boolean, "'true'", "'true' is not a boolean: expected true or false"),
    (r.integer, "1:30", "'1:30' is not an integer: expected an integer, such as 3 or 0x100"),
    (r.natural, "-1", "-1 is negative: expected an integer from 0 on"),
    (r.choice("amd", "intel"), "amb", "'amb' is not known: expected one of amd, intel"),
    (r.size, "0", "0 is no size: expected a positive size such as 2M or 8G"),
    (
        r.byte_count,
        "512",
        "'512' is 512 bytes, which is not a multiple of 4096: expected a page-aligned size; a "
        "plain number is bytes, suffixes are K, M, G, T; did you mean 512M or 512G?",
    ),
    (r.address, "1", "0x1 is not page-aligned: expected a multiple of 0x1000"),
    (r.length, "0", "0 is no length: expected a positive length"),
    (r.prot, "q", "'q' is not a protection: expected one or more of r, w, x"),
    (r.items(r.integer), "7", "'7' stands here: expected a list"),
]


@pytest.mark.parametrize(("read", "text", "value"), TAKEN)
def test_what_is_taken(read, text, value):
    assert read(parse(text, "f")) == value


@pytest.mark.parametrize(("read", "text", "message"), REFUSED)
def test_what_is_refused(read, text, message):
    with pytest.raises(ConfigError) as caught:
        read(parse(text, "f"))
    assert str(caught.value) == f"f:1:1: {message}"


def test_fields_want_known_keys_and_needed_ones():
    node = parse("gpa: 1\nlen: 2\n", "f")
    fields = r.Fields(node, ("gpa", "len"))
    assert fields.need("gpa", r.integer) == 1
    assert fields.get("other", r.integer, 7) == 7
    with pytest.raises(ConfigError, match="'prot' is missing"):
        fields.need("prot", r.prot)
    with pytest.raises(ConfigError, match=r"f:2:1: unknown key 'len': expected length"):
        r.Fields(node, ("gpa", "length"))
