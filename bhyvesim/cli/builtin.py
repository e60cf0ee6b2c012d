"""The kernel revisions as --version shows them. Made by tools/helps.py from theirs."""

BUILT_IN = (
    (
        "13932",
        "2021-06-10",
        "closed ranges: unmaps and vacates one page too many (bug 14042)",
        "panic A, panic E",
    ),
    (
        "14042",
        "2021-08-31",
        "half-open ranges; a leaf shared by two mappings still goes with the first",
        "panic A, panic E",
    ),
    (
        "13896",
        "2021-09-05",
        "tables come with the memmap; a device reaching into a hole can panic the host",
        "panic A, panic B, hang",
    ),
    (
        "14367",
        "2022-01-05",
        "leaf tables count what memmaps cover of them",
        "hang",
    ),
    (
        "15844",
        "2023-08-15",
        "level-by-level tables; a memmap across a 512 GiB line panics the host",
        "panic C, panic D, hang",
    ),
    (
        "2025",
        "2025",
        "level by level, across every line; VM_NPT_OPERATION",
        "hang",
    ),
)
