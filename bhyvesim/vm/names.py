"""What may name a VM."""

from __future__ import annotations

MAX_NAME_BYTES = 127


def name_problem(name: str) -> str | None:
    """Why *name* cannot name a VM; None if it can. Source: vmm_dev.c, vmmdev_do_vm_create()."""
    if not name:
        return "is empty"
    if "/" in name or name in (".", ".."):
        return "names a path"
    if not name.isprintable():
        return "holds a control character"
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        return f"is over {MAX_NAME_BYTES} bytes long"
    return None
