"""Tables and paragraphs in a width: what folds, what is parted, what never breaks."""

from __future__ import annotations

import pytest

from bhyvesim.report.fit import packed, paragraph, table
from bhyvesim.report.model import Column
from bhyvesim.text import columns_of

COLUMNS = (Column("ID", True), Column("WHERE"), Column("WHY"))
ROWS = [("1", "0x100000000", "the page of the other memmap is taken as well, at every reboot")]


def test_without_a_width_a_row_is_a_line():
    assert [line.count("\n") for line in table(COLUMNS, ROWS, None)] == [0, 0]
    assert len(table(COLUMNS, ROWS, None)) == 2


def test_the_last_column_folds_at_words():
    assert table(COLUMNS, ROWS, 60) == [
        "ID  WHERE        WHY",
        " 1  0x100000000  the page of the other memmap is taken as",
        "                 well, at every reboot",
    ]


def test_a_column_of_numbers_folds_never():
    columns = (Column("WHY"), Column("COUNT", True))
    rows = [(ROWS[0][2], "12345678")]
    assert table(columns, rows, 60) == [
        "WHY                                                   COUNT",
        "the page of the other memmap is taken as well, at  12345678",
        "every reboot",
    ]


def test_below_sixty_columns_a_row_is_a_record():
    assert table(COLUMNS, ROWS, 59) == [
        "ID     1",
        "WHERE  0x100000000",
        "WHY    the page of the other memmap is taken as well, at",
        "       every reboot",
    ]


def test_what_fits_stays_a_table_at_any_width():
    assert table(COLUMNS[:2], [ROWS[0][:2]], 20) == ["ID  WHERE", " 1  0x100000000"]


def test_columns_that_are_alike_are_told_in_several_tables():
    columns = (Column(""), *(Column(f"kernel {i}") for i in range(8)))
    rows = [("DEBUG", *["panic A"] * 8)]
    lines = table(columns, rows, 60, alike=True)
    assert lines[0] == "       kernel 0  kernel 1  kernel 2  kernel 3  kernel 4"
    assert lines[2:4] == ["", "       kernel 5  kernel 6  kernel 7"]


def test_a_rule_is_as_wide_as_its_table():
    lines = table(COLUMNS, ROWS, 60, rule="-")
    assert lines[1] == "-" * max(len(line) for line in lines)


@pytest.mark.parametrize("width", range(20, 60))
def test_addresses_ranges_and_verdicts_do_not_break(width):
    text = "at [0x10, 0x2000) it is NOT SAFE, since [0x3000, 0x4000) (sysmem) is 0xffffffffffff"
    lines = paragraph(text, width)
    assert " ".join(lines) == text
    for whole in ("[0x10, 0x2000)", "NOT SAFE,", "[0x3000, 0x4000)", "0xffffffffffff"):
        assert any(whole in line for line in lines)
    assert max(map(len, lines)) <= width


def test_a_word_that_does_not_fit_stands_alone():
    assert paragraph("a 0123456789012345678901234567890 b", 20) == [
        "a",
        "0123456789012345678901234567890",
        "b",
    ]


def test_wide_characters_take_two_columns():
    assert columns_of("漢字e\u0301") == 5
    lines = table((Column("NAME"), Column("N")), [("漢字", "1"), ("vm", "2")], 60)
    assert lines == ["NAME  N", "漢字  1", "vm    2"]


def test_words_are_packed_and_none_is_parted():
    words = ["one two", "three", "four"]
    assert packed(words, 14, first="> ", rest="  ", between=", ", broken=",") == [
        "> one two,",
        "  three, four",
    ]
