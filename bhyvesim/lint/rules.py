"""What a review looks for: the table of rules, with what comes of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """NOTE: a shape to know of. WARNING: some kernel is endangered. ERROR: the VM's own is."""

    NOTE = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that is looked for."""

    code: str
    name: str
    summary: str
    why: str  # what comes of it, for ``explain``


RULES = {
    rule.code: rule
    for rule in (
        Rule(
            "BV101",
            "shared-leaf",
            "two mappings share the leaf table of 2 MiB",
            "Kernels before 14367 free a leaf with the first mapping that is unmapped from "
            "it. A DEBUG kernel panics over the entries of the other (panic A); a production "
            "kernel loses them.",
        ),
        Rule(
            "BV102",
            "ends-on-neighbour",
            "a mapping ends where another begins",
            "13932 takes the end of a range as inclusive: unmapping the first mapping also "
            "zeroes the first page of the second, and then vacates it (bug 14042). Harmless "
            "where the second one is gone by then.",
        ),
        Rule(
            "BV103",
            "crosses-512-gib",
            "a mapping crosses a multiple of 512 GiB",
            "15844 finds no leaf past such a line when it makes the mapping, and fails a "
            "VERIFY: every kernel of that revision panics, DEBUG or not (panic C, or D where "
            "a table exists there already).",
        ),
        Rule(
            "BV104",
            "above-vmspace",
            "a mapping reaches past the end of the vmspace, 64 TiB",
            "The kernel refuses it with EFAULT. 13932 and 14042 look only at where it begins.",
        ),
        Rule(
            "BV105",
            "overlap",
            "two mappings overlap",
            "The kernel refuses the second with EFAULT.",
        ),
        Rule(
            "BV106",
            "rom-off-4-gib",
            "a boot ROM does not end at 4 GiB",
            "A processor starts 16 bytes below 4 GiB; the guest would find no firmware there.",
        ),
        Rule(
            "BV107",
            "unmapped-segment",
            "a segment is never mapped",
            "Its memory is taken from the host, and the guest cannot reach it.",
        ),
        Rule(
            "BV108",
            "partly-mapped-segment",
            "a segment is mapped only in part",
            "The rest of its memory is taken from the host, and the guest cannot reach it.",
        ),
        Rule(
            "BV109",
            "too-many-maps",
            "there are more mappings than slots",
            "A VM has eight slots; the ninth mapping is refused with ENOSPC.",
        ),
        Rule(
            "BV110",
            "bad-segment",
            "a mapping has no segment to lie in",
            "The kernel refuses it with EINVAL: there is no such segment, or the mapping "
            "reaches past its end.",
        ),
        Rule(
            "BV111",
            "bad-segment-id",
            "a segment id that not every kernel has",
            "Ids are 0 to 3, and 4 only from 15844 on; others are refused with EINVAL.",
        ),
        Rule(
            "BV112",
            "hole-beside-mapping",
            "a mapping leaves a hole in a leaf that it begins or ends in",
            "On 13896 a hold of a page of that leaf which no mapping covers panics the host, "
            "DEBUG or not (panic B). A vCPU that touches the hole is harmless: that is MMIO. But "
            "a device model or the emulation of an instruction takes such holds, at addresses "
            "that the guest chooses: so a guest can bring down its host. On an Intel host with "
            "APICv the APIC access page leaves such a hole in every VM, from 0xfee01000 on.",
        ),
        Rule(
            "BV113",
            "unreadable-mapping",
            "a mapping may not be read",
            "On AMD, DEBUG kernels of 13932 and 14042 assert of each page that they map that it "
            "may be read: the first touch of such a page panics the host, and so does wiring it "
            "(panic E). Nested page tables cannot forbid reading: other kernels map the page "
            "readable.",
        ),
        Rule(
            "BV114",
            "over-the-apic-page",
            "a mapping lies over the APIC access page",
            "On an Intel host with APICv the page at 0xfee00000 is taken in every VM: the kernel "
            "refuses the mapping with EFAULT.",
        ),
        Rule(
            "BV115",
            "held-pages",
            "unmapping while a page is held hangs the host",
            "From 13896 on, whatever unmaps anything of a VM (a reboot, a destroy, an unmapped "
            "memmap) while some page of it is held never returns: vmc_space_unmap loops, with "
            "locks held. A userspace mapping of guest space holds a page for microseconds at its "
            "first touch. No shape of a VM avoids it.",
        ),
        Rule(
            "BV116",
            "host-memory-short",
            "the host has not enough memory for the VM",
            "A start is refused with ENOMEM, whatever the shape: a VM with reservoir: true takes "
            "all its segments from what is free in the host's reservoir; another takes transient "
            "memory, which with the whole reservoir has to stay within the limit. Make the "
            "reservoir larger (smaller, for a VM that does not use it), or the VM smaller.",
        ),
        Rule(
            "BV117",
            "past-physical-width",
            "a mapping reaches past the host's physical addresses",
            "A processor that nests page tables takes guest-physical addresses of as many bits "
            "as its physical ones: the guest never reaches what lies higher.",
        ),
        Rule(
            "BV118",
            "page-tables",
            "the VM's page tables take much of the host's memory",
            "A leaf table of 4 KiB for each 2 MiB that is mapped: 2 GiB for a guest of 1 TiB. It "
            "is kernel memory that neither the reservoir nor the limit counts. From 13896 on all "
            "of it is made when the memmap is, while the VM's vCPUs stand still; before, as the "
            "guest touches its pages.",
        ),
    )
}
