"""The kinds of file that can be imported, by the names that ``--from`` takes."""

from __future__ import annotations

# The module that reads each; it is imported when a file needs it, not before.
KINDS = {
    "crash": "crash.findings",
    "memmap": "memmap",
    "bhyve-config": "bhyve_config",
    "bhyve-command": "script",
    "vm-bhyve": "vmbhyve",
    "zonecfg": "zonecfg",
    "zone-json": "zonejson",
    "libvirt": "libvirt",
    "propolis": "propolis",
}
