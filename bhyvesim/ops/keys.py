"""The JSON form of an operation's arguments: a key each, read strictly."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from bhyvesim import limits
from bhyvesim.errors import BadValue
from bhyvesim.kernel.machine import check_hold
from bhyvesim.limits import Limit
from bhyvesim.prot import ALL, parse_prot
from bhyvesim.units import PAGE_SHIFT, U64_END, parse_bitmap, parse_size, shorten

MISSING = object()


class Key(NamedTuple):
    """One key of an operation: its JSON name, the argument that it gives, and how to read it."""

    name: str
    argument: str
    read: Callable[[Any], Any]
    default: Any = MISSING
    write: Callable[[Any], Any] = lambda value: value

    @classmethod
    def of(cls, name: str, read: Callable[[Any], Any], default: Any = MISSING) -> Key:
        """A key that is called as its argument."""
        return cls(name, name, read, default)


def read_keys(op: str, keys: Sequence[Key], record: dict[str, Any]) -> dict[str, Any]:
    """The arguments in *record*, by name.

    Raises BadValue for a key that is missing, ill-typed or unknown.
    """
    values = {}
    present = 1
    for key in keys:
        if key.name not in record:
            if key.default is MISSING:
                raise BadValue(f'{op} lacks the key "{key.name}"', "it to be there")
            continue
        present += 1
        try:
            values[key.argument] = key.read(record[key.name])
        except BadValue as error:
            where = f'{op}: "{key.name}"'
            raise BadValue(f"{where}: {error.problem}", error.expected) from None
    if present != len(record):
        names = [key.name for key in keys]
        unknown = next(name for name in record if name != "op" and name not in names)
        raise BadValue(f"{op} has no key {shorten(unknown)}", ", ".join(names) or "no other key")
    return values


def number(value: Any) -> int:
    if type(value) is int:
        if not -U64_END <= value <= U64_END:
            raise BadValue("an integer of more than 64 bits", "one between -2^64 and 2^64")
        return value
    if isinstance(value, str):
        return parse_size(value)
    raise BadValue(f"{shorten(json.dumps(value))} is not a number", 'an integer, "0x…" or "2M"')


def count(value: Any) -> int:
    amount = number(value)
    if amount < 0:
        raise BadValue(f"{amount} is negative", "a number of pages")
    return amount


def page_count(value: Any) -> int:
    pages = count(value)
    if pages > U64_END >> PAGE_SHIFT:
        raise BadValue(f"{pages} pages", "no more than 2^64 bytes")
    return pages


def numbers(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise BadValue(f"{shorten(json.dumps(value))} is not a list", "a list of addresses")
    return tuple(number(item) for item in value)


def host_pfn(value: Any) -> int | None:
    return None if value is None else count(value)


def prot(value: Any) -> int:
    return parse_prot(value) if isinstance(value, str) else number(value)


def access(value: Any) -> int:
    wanted = prot(value)
    if not 0 < wanted <= ALL:
        raise BadValue(f"{wanted} is not an access", "a mask of R=1, W=2, X=4")
    return wanted


def hold(value: Any) -> int:
    wanted = prot(value)
    check_hold(wanted)
    return wanted


def npt_operation(value: Any) -> int:
    raw = number(value)
    if not 0 <= raw < 1 << 32:
        raise BadValue(f"{raw} is no operation", "an unsigned number of 32 bits")
    return raw


def bitmap(value: Any) -> bytes | None:
    return None if value is None else parse_bitmap(text(value))


def read_length(value: Any) -> int:
    return _length(value, limits.READ)


def written_length(value: Any) -> int:
    return _length(value, limits.WRITTEN)


def _length(value: Any, limit: Limit) -> int:
    length = number(value)
    if not 0 < length <= limit.most:
        raise BadValue(f"{length} bytes", f"1 to {limit.most}")
    return length


def data(value: Any) -> bytes:
    written = parse_bitmap(text(value))
    written_length(len(written))
    return written


def byte(value: Any) -> int:
    amount = number(value)
    if not 0 <= amount < 256:
        raise BadValue(f"{amount} is no byte", "0 to 255")
    return amount


def flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise BadValue(f"{shorten(json.dumps(value))} is not a boolean", "true or false")


def text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise BadValue(f"{shorten(json.dumps(value))} is not a string", "a string")


def one_of(choices: Collection[str]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if isinstance(value, str) and value in choices:
            return value
        raise BadValue(
            f"unknown value {shorten(json.dumps(value))}", f"one of {', '.join(choices)}"
        )

    return read
