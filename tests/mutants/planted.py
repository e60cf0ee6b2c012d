"""The mistakes that are planted, by room.

A mistake belongs here if somebody could make it, and if nothing but a test would tell.
"""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_RECORDINGS = "tests/conformance/test_traces.py"
_LATER = "tests/history/test_later_bugs.py"

KERNEL = (
    Mutant(
        "kernel/snapshot.py",
        "    gpt.resident = s.resident\n",
        "    gpt.resident = sum(len(m.span.pages) for m in machine.memmaps)\n",
        "the counter of resident pages is derived, not restored",
        "tests/kernel/test_snapshot.py",
    ),
    Mutant(
        "kernel/snapshot.py",
        "    gpt.twins = s.twins\n",
        "",
        "leaves that exist twice exist once in a machine that is restored",
        "tests/kernel/test_snapshot.py",
    ),
    Mutant(
        "kernel/snapshot.py",
        "    machine.space.last_hold = s.last_hold\n",
        "    machine.space.last_hold = len(s.holds)\n",
        "ids of holds are given a second time after a restore",
        "tests/kernel/test_snapshot.py",
    ),
    Mutant(
        "kernel/gpt/engine.py",
        "        other.leaves = self.leaves.copy()\n",
        "",
        "a fork shares its leaves",
        "tests/kernel/test_snapshot.py",
    ),
    Mutant(
        "kernel/gpt/engine.py",
        "                mask = piece.mask & (2 * stop - 1)\n",
        "                mask = piece.mask & (stop - 1)\n",
        "the entry at which an access fails is not attempted",
        f"{_RECORDINGS} tests/property/test_lockstep.py",
    ),
    Mutant(
        "kernel/gpt/engine.py",
        "                self._store(piece.first, piece.first + 1, piece.leaf, tried)\n",
        "                self._store(piece.first, piece.end, piece.leaf, tried)\n",
        "an access that fails in the first leaf of a run goes on in the others",
        f"{_RECORDINGS} tests/property/test_directed.py tests/property/test_lockstep.py",
    ),
    Mutant(
        "kernel/gpt/engine.py",
        "                self.resident += missing.bit_count() * (piece.end - piece.first)\n",
        "                self.resident += missing.bit_count()\n",
        "wired pages of a run of leaves are counted once",
        f"{_RECORDINGS} tests/property/test_lockstep.py",
    ),
    Mutant(
        "kernel/gpt/engine.py",
        "(self.npt.accessed if self.release_sets_accessed else 0)",
        "self.npt.accessed",
        "a released page is marked accessed on every revision",
        "tests/kernel/test_dirty.py",
    ),
    Mutant(
        "kernel/gpt/engine.py",
        "        leaf = None if index in self.twins else self.leaves[index]\n",
        "        leaf = self.leaves[index]\n",
        "hardware reaches the older of two leaves",
        f"{_LATER} tests/cli/test_walk.py tests/property/test_look.py",
    ),
    Mutant(
        "kernel/gpt/dirty.py",
        "cls & ~gpt.npt.dirty, bits & wanted",
        "cls & ~gpt.npt.dirty, bits",
        "all entries of a leaf are cleaned with the first",
        "tests/kernel/test_dirty.py",
    ),
    Mutant(
        "kernel/gpt/leaf.py",
        "    if mask == ALL_ENTRIES:\n        return leaf[:1]\n",
        "    if mask == ALL_ENTRIES:\n        return (0,)\n",
        "a leaf that is emptied forgets its count",
        f"{_RECORDINGS} tests/history/test_later_bugs.py",
    ),
    Mutant(
        "kernel/revisions/closed_13932.py",
        "(span.end >> PAGE_SHIFT) + 1)",
        "span.end >> PAGE_SHIFT)",
        "13932 has no bug 14042",
        "tests/history/test_14042.py",
    ),
    Mutant(
        "kernel/revisions/closed_13932.py",
        "            self.resident -= call.result\n",
        "",
        "the oldest revisions never count pages down",
        _RECORDINGS,
    ),
    Mutant(
        "kernel/revisions/counted_14367.py",
        "if refcnt > 0 else None",
        "if refcnt >= 0 else None",
        "a leaf stays when nobody uses it any more",
        f"{_RECORDINGS} {_LATER}",
    ),
    Mutant(
        "kernel/revisions/counted_14367.py",
        "leaf[0] + covered",
        "covered",
        "a second memmap's count replaces the first's",
        f"{_RECORDINGS} {_LATER}",
    ),
    Mutant(
        "kernel/revisions/levels_15844.py",
        "        if span.end <= line:\n",
        "        if span.end < line:\n",
        "15844 panics where a memmap ends on a line of 512 GiB",
        f"{_RECORDINGS} {_LATER}",
    ),
    Mutant(
        "kernel/revisions/levels_15844.py",
        "                self.twins = (*self.twins, index)\n",
        "",
        "15844 adds no table twice, on a kernel without ASSERTs",
        f"{_RECORDINGS} {_LATER}",
    ),
    Mutant(
        "kernel/revisions/populated_13896.py",
        "    hardware_bits = HardwareBits.NEVER\n",
        "    hardware_bits = HardwareBits.ALWAYS\n",
        "13896 sets accessed and dirty bits on Intel",
        _RECORDINGS,
    ),
    Mutant(
        "kernel/vmspace.py",
        "not 0 <= span.start < limit or span.end >= REACH",
        "not 0 <= span.start < limit or span.end > REACH",
        "the oldest revisions map up to the very end of four levels",
        f"{_RECORDINGS} tests/property/test_directed.py",
    ),
    Mutant(
        "kernel/vmspace.py",
        "            too_high = not span.start >= 0 or span.end >= limit\n",
        "            too_high = not span.start >= 0 or span.end > limit\n",
        "later revisions map up to the very end of the vmspace",
        f"{_RECORDINGS} tests/property/test_directed.py",
    ),
    Mutant(
        "kernel/vmspace.py",
        "            self.recent = None\n            self.gpt.unmap_region(span)\n",
        "            self.gpt.unmap_region(span)\n",
        "the mapping found last is remembered after it is gone",
        f"{_RECORDINGS} tests/property/test_directed.py",
    ),
    Mutant(
        "kernel/vmspace.py",
        "            if self.holds:\n",
        "            if any(span.start <= h.gpa < span.end for h in self.holds.values()):\n",
        "a hold outside of what is unmapped hangs nobody",
        f"{_LATER} tests/scenario/test_steps.py",
    ),
    Mutant(
        "kernel/npt.py",
        "    if gpa + length >= U64_END:\n",
        "    if gpa + length > U64_END:\n",
        "VM_NPT_OPERATION takes a range up to 2^64",
        "tests/kernel/test_dirty.py",
    ),
    Mutant(
        "kernel/npt.py",
        "    if size > MAX_BITMAP_BYTES:\n",
        "    if size >= MAX_BITMAP_BYTES:\n",
        "the largest bitmap is refused",
        "tests/kernel/test_dirty.py",
    ),
    Mutant(
        "kernel/npt.py",
        "    if length > MAX_TRACKED:\n",
        "    if length >= MAX_TRACKED:\n",
        "VM_TRACK_DIRTY_PAGES refuses exactly 1 GiB",
        "tests/kernel/test_dirty.py",
    ),
    Mutant(
        "kernel/npt.py",
        "wanted & ~visited | result & wanted",
        "result & wanted",
        "bits of pages without a leaf table do not come back",
        "tests/kernel/test_dirty.py",
    ),
    Mutant(
        "kernel/npt.py",
        "& ~before if number == _SET",
        "if number == _SET",
        "SET_DIRTY answers with pages that were dirty before",
        "tests/kernel/test_dirty.py",
    ),
    Mutant(
        "kernel/reservoir.py",
        "        if grows < 0 and -grows > self.free:\n",
        "        if grows < 0 and -grows > self.reservoir:\n",
        "a reservoir shrinks below what VMs have of it",
        "tests/kernel/test_reservoir.py",
    ),
    Mutant(
        "kernel/reservoir.py",
        "            self.free += length\n            self.allocated -= length\n",
        "            self.allocated -= length\n",
        "memory of the reservoir does not go back into it",
        "tests/kernel/test_reservoir.py",
    ),
    Mutant(
        "kernel/reservoir.py",
        "self.limit - self.reservoir - self.transient",
        "self.limit - self.reservoir",
        "transient memory does not count towards the limit",
        "tests/kernel/test_reservoir.py",
    ),
    Mutant(
        "kernel/machine.py",
        'if self.state is MachineState.PAUSED and by == "vcpu":',
        "if self.state is MachineState.PAUSED:",
        "no device gets at the memory of a paused VM",
        "tests/kernel/test_pause.py tests/cli/test_pause.py",
    ),
    Mutant(
        "kernel/machine.py",
        "                    if gpa == 0 and length == 0:\n",
        "                    if gpa == 0 and length == 1:\n",
        "an empty memmap slot is never taken away",
        f"{_RECORDINGS} tests/kernel/test_machine.py",
    ),
    Mutant(
        "kernel/machine.py",
        "        if segoff < 0 or segoff >= last or last > seg.length:\n",
        "        if segoff < 0 or segoff >= last or last >= seg.length:\n",
        "the last page of a segment cannot be mapped",
        _RECORDINGS,
    ),
    Mutant(
        "kernel/client.py",
        "(dirty or not self.space.revision.ioctls.deferred_dirty)",
        "dirty",
        "a released page that was not written is clean before 15844",
        "tests/kernel/test_dirty.py",
    ),
    Mutant(
        "kernel/client.py",
        "        times = 1 if prot & ~rights else self.gpt.count_absent(rest)\n",
        "        times = self.gpt.count_absent(rest)\n",
        "a page that may not be written fails the assertion of all after it",
        "tests/property/test_directed.py tests/property/test_lockstep.py",
    ),
)

STORE = (
    Mutant(
        "store/store.py",
        "        if application != APPLICATION_ID:\n",
        "        if not application:\n",
        "the database of another program is taken",
        "tests/cli/test_state.py",
    ),
    Mutant(
        "store/store.py",
        "        if not OLDEST_VERSION <= version <= VERSION:\n",
        "        if version > VERSION:\n",
        "a version older than the oldest is taken",
        "tests/cli/test_state.py",
    ),
    Mutant(
        "store/store.py",
        "        if not OLDEST_VERSION <= version <= VERSION:\n",
        "        if not OLDEST_VERSION <= version <= VERSION + 1:\n",
        "the next version is taken",
        "tests/cli/test_state.py",
    ),
    Mutant(
        "store/maps.py",
        "    except NONSENSE as error:\n",
        "    except (KeyError, TypeError) as error:\n",
        "a ValueError of a stored row passes",
        "tests/store/test_damage.py",
    ),
)

CLI = (
    Mutant(
        "cli/streams.py",
        "        return isinstance(self.failure, BrokenPipeError)\n",
        "        return False\n",
        "a reader that went away is complained of",
        "tests/cli/test_output.py",
    ),
    Mutant(
        "cli/commands/advice.py",
        "            row = transaction.crash(vm=session.vm)\n",
        "            row = next(r for r in transaction.crashes() if r.vm == session.vm)\n",
        "explain --vm shows the VM's first dump",
        "tests/cli/test_explain.py",
    ),
)

CONFIG = (
    Mutant(
        "config/scenario/matrix.py",
        "    n.within(vm, limits.CELLS, count)\n",
        "",
        "the product of the axes is not bounded",
        "tests/scenario/test_bounds.py",
    ),
    Mutant(
        "config/scenario/matrix.py",
        "        n.within(value, limits.CELLS, len(values))\n",
        "",
        "the length of one axis is not bounded",
        "tests/scenario/test_bounds.py",
    ),
    Mutant(
        "config/scenario/sources.py",
        "        if real not in self._included:\n",
        "        if True:\n",
        "a file is read as often as it is included",
        "tests/scenario/test_bounds.py",
    ),
)

BASE = (
    Mutant(
        "units.py",
        "1 << (10 * _power)",
        "1000**_power",
        "KiB are thousands",
        "tests/test_units.py",
    ),
)

MUTANTS = (*KERNEL, *STORE, *CLI, *CONFIG, *BASE)
