"""What of a result shows on a host: compared with what was recorded there, and told in words."""

from __future__ import annotations

import json
from typing import Any

from bhyvesim.ops.operation import Result

# What a replay knows and a host shows nobody.
_HIDDEN = ("mapped", "leaked_nodes")


def visible(result: Result) -> Result:
    """*result* without what only a simulation can tell."""
    if "panic" in result:
        return {"panic": {"function": result["panic"]["function"]}}
    return {key: value for key, value in result.items() if key not in _HIDDEN}


def claim(message: str) -> str:
    """A panic string without the file and line, which differ from build to build."""
    return message.partition(", file:")[0]


def agrees(seen: Any, came: Any) -> bool:
    """Whether *came* has everything that *seen* has; what *seen* leaves out was not looked at."""
    if isinstance(seen, dict) and isinstance(came, dict):
        return all(key in came and _agrees(key, seen[key], came[key]) for key in seen)
    return bool(seen == came) and type(seen) is type(came)


def _agrees(key: str, seen: Any, came: Any) -> bool:
    if key == "message" and isinstance(seen, str):
        return claim(seen) == claim(came)
    return agrees(seen, came)


def told(result: Result) -> str:
    """*result* in a few words: ``ok``, ``EINVAL``, ``panic in vmspace_lookup_map``."""
    if "error" in result:
        return str(result["error"])
    for stop in ("panic", "hang"):
        if stop in result:
            return f"{stop} in {result[stop]['function']}"
    if "fault" in result:
        return str(result["fault"])
    more = {key: value for key, value in result.items() if key != "ok"}
    told_more = ", ".join(
        f"{key.removesuffix('_bytes')} {_value(value)}" for key, value in more.items()
    )
    value = result.get("ok")
    return told_more or ("ok" if not value else f"ok {value}")


def parted(seen: Any, came: Result) -> tuple[str, str]:
    """What of *seen* does not agree with *came*, and what is there instead, in words."""
    if isinstance(seen, dict) and seen.keys() <= came.keys():
        key = next(key for key in seen if not _agrees(key, seen[key], came[key]))
        if key not in ("error", "panic", "hang", "ok"):
            return _parted_values(key, seen[key], came[key])
    return _recorded(seen), told(visible(came))


def _parted_values(key: str, seen: Any, came: Any) -> tuple[str, str]:
    """Of lists, the first item that is another."""
    if isinstance(seen, list) and isinstance(came, list):
        shared = min(len(seen), len(came))
        at = next((i for i in range(shared) if seen[i] != came[i]), shared)
        items = [each[at] if at < len(each) else None for each in (seen, came)]
        return f"{key}[{at}] {_value(items[0])}", _value(items[1])
    return f"{key} {_value(seen)}", _value(came)


def _recorded(seen: Any) -> str:
    """As :func:`told`, of what somebody else wrote: any shape is possible."""
    try:
        return told(visible(seen))
    except (KeyError, TypeError, AttributeError):
        return _value(seen)


def _value(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
