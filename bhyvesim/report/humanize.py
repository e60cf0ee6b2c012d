"""Lengths as bhyvectl prints them: libc's humanize_number(), with its exact arguments."""

from __future__ import annotations

_WIDTH = 7  # a buffer of 8 bytes
_PREFIXES = ("", "K", "M", "G", "T", "P", "E")


def humanize(n: int) -> str:
    """*n* bytes in at most seven characters: ``3072MB``, ``99999B``, ``100000M``.

    *n* is read as a signed 64-bit number. Suffix B, divisor 1024, no decimals, scaled
    until five digits are enough; the last division rounds half up.
    Source: humanize_number(3) as called by bhyvectl.c, show_memmap().
    """
    n &= (1 << 64) - 1
    if n >> 63:
        n -= 1 << 64
    limit = 10_000 if n < 0 else 100_000
    quotient, remainder, scale = abs(n), 0, 0
    while scale < 6 and (quotient >= limit or (quotient == limit - 1 and remainder >= 973)):
        quotient, remainder = divmod(quotient, 1024)
        scale += 1
    value = quotient + (remainder + 512) // 1024
    sign = "-" if n < 0 else ""
    return f"{sign}{value}{_PREFIXES[scale]}B"[:_WIDTH]
