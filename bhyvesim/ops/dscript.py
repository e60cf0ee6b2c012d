"""The D script that records what a live host's VMs do with their memory.

Each line is printed by a clause of its own, after one that counts it: where dtrace has no room
for a line, the count goes on without it, and its absence shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from bhyvesim.kernel.functions import Function
from bhyvesim.ops import live
from bhyvesim.ops.live import Line

_HEADER = """\
#!/usr/sbin/dtrace -qs
/*
 * Records what VMs do with their memory on an illumos host with bhyve, for
 *     bhyvesim replay --live FILE
 * Made by 'bhyvesim record' for the kernels {kernels}.
 *
 * WRITTEN FROM THE SOURCES, NOT TRIED ON A HOST. It only looks: no destructive action, no
 * change of anything. Read it before you run it, as with any script of somebody else's.
 *
 * To run it, as root in the global zone, before the VMs are created:
 *     dtrace -q -s THIS-FILE > host.jsonl 2>&1
 * and end it with ^C: the last lines say how many there were. 2>&1 keeps dtrace's word on
 * lines that it dropped; if there are any, raise bufsize below, or record without faults.
 * A function that a kernel does not have is no error (zdefs below; -Z does the same).
 *
 * Recorded, of VMs that are created meanwhile{named}: their creation, vm_alloc_memseg,
 * vm_mmap_memseg, vm_munmap_memseg, vm_reinit, vm_destroy, and, where the kernel has them,
 * vm_npt_do_operation, vm_track_dirty_pages and vm_map_mmio (a device that is passed through),
 * with what they answered{faults}.
 * Not recorded: accesses that do not fault; holds of pages by devices and by the VMM; the
 * contents of memory and bitmaps; refusals from before those functions are called (a wrong
 * name, memory that cannot be copied); VMs that were there before; where a VM's memory lies in
 * the host. A panic takes the last lines with it. Where a function was compiled to end in a
 * jump to another one, dtrace does not see it return, and its calls have no answer.
 */
#pragma D option quiet
#pragma D option zdefs
#pragma D option temporal
#pragma D option bufsize=16m
#pragma D option aggsize=4m
#pragma D option dynvarsize=32m
#pragma D option switchrate=10hz
#pragma D option cleanrate=101hz
#pragma D option strsize=128
"""

# The name is an argument in older kernels, and comes first; then the flags are the second.
# What BEGIN assigns are the types: the first assignment decides them.
_CREATE = """
dtrace:::BEGIN
{{
\tself->vm = (int64_t)0;
\tself->made = (int64_t)0;
\tself->run = (int64_t)0;
\tself->n[(int64_t)0] = (int64_t)0;
\tknown[(int64_t)0] = 0;
\t{begin}
}}

/* A new VM. vm_create() has its address only behind a pointer; vioapic_init() is given it. */
fbt:vmm:vmmdev_do_vm_create:entry
{{
\tself->name = stringof((char *)arg0);
\tself->named = 1;
}}

fbt:vmm:vmmdev_do_vm_create:return
{{
\tself->named = 0;
}}

fbt:vmm:vm_create:entry
{wanted}{{
\tself->creating = 1;
\tself->made = 0;
\tself->flags = (uint64_t)arg0 > 0xffffffff ? (int)arg1 : (int)arg0;
}}

fbt:vmm:vioapic_init:entry
/self->creating/
{{
\tself->made = arg0;
}}

fbt:vmm:vm_create:return
/self->creating && self->made && (int)arg1 == 0/
{{
\tknown[self->made] = 1;
\tself->vm = self->made;
{count}}}

fbt:vmm:vm_create:return
/self->creating && self->vm/
{{
\t{created}
}}

fbt:vmm:vm_create:return
/self->creating/
{{
\tself->vm = 0;
\tself->creating = 0;
\tself->made = 0;
\tself->flags = 0;
}}
"""

_RUN = """
/* A vCPU faults in the thread that runs it. */
fbt:vmm:vm_run:entry
/known[arg0]/
{
\tself->run = arg0;
}

fbt:vmm:vm_run:return
{
\tself->run = 0;
}
"""

_COUNT = """\
\tself->n[self->vm]++;
\t@lines[self->vm, pid, tid] = count();
"""

# What one of these functions calls itself, of these functions, is no call of its own.
_CALL = """
fbt:{module}:{name}:entry
/known[arg0] && !self->vm/
{{
\tself->vm = arg0;
\tself->in = {number};
{gone}{count}}}

fbt:{module}:{name}:entry
/self->vm && self->in == {number}/
{{
\t{entered}
}}

fbt:{module}:{name}:return
/self->vm && self->in == {number}/
{{
{count}}}

fbt:{module}:{name}:return
/self->vm && self->in == {number}/
{{
\t{returned}
}}

fbt:{module}:{name}:return
/self->vm && self->in == {number}/
{{
\tself->vm = 0;
\tself->in = 0;
}}
"""

_FAULT = """
fbt:{module}:{name}:entry
/self->run && !self->vm/
{{
\tself->vm = self->run;
{kept}}}

fbt:{module}:{name}:return
/self->vm && self->vm == self->run/
{{
{count}}}

fbt:{module}:{name}:return
/self->vm && self->vm == self->run/
{{
\t{returned}
}}

fbt:{module}:{name}:return
/self->vm && self->vm == self->run/
{{
{cleared}\tself->vm = 0;
}}
"""

# Where a function ended without dtrace's seeing it, the thread is free again all the same.
_LEFT = """
fbt:vmm:vmm_ioctl:return
/self->vm/
{
\tself->vm = 0;
\tself->in = 0;
}
"""

_END = """
dtrace:::END
{{
\t{totals}
\t{end}
}}
"""


def script(gpts: Iterable[str], name: str | None = None, *, faults: bool = True) -> str:
    """The script for hosts with a kernel of *gpts*; of the VM *name* alone, if one is given.

    Raises BadValue where these kernels cannot share one.
    """
    kernels = tuple(gpts)
    table = live.functions(kernels)
    wanted = "" if name is None else f"/self->named && self->name == {_string(name)}/\n"
    header = _HEADER.format(
        kernels=", ".join(kernels),
        named="" if name is None else " and have the name asked for",
        faults=", and every guest fault" if faults else "; no guest faults",
    )
    create = _CREATE.format(
        begin=_printf(live.begun(faults=faults)),
        wanted=wanted,
        count=_COUNT,
        created=_printf(live.CREATED),
    )
    parts = [header, create]
    called = [function for function in table.values() if not live.RECORDED[function.name].fault]
    parts += map(_call, called)
    if faults:
        parts.append(_RUN)
        parts += [_fault(f) for f in table.values() if live.RECORDED[f.name].fault]
    parts.append(_LEFT)
    totals = _print("printa", live.TOTAL.format, ("@lines",))
    parts.append(_END.format(totals=totals, end=_printf(live.END)))
    return "".join(parts)


def _call(function: Function) -> str:
    return _CALL.format(
        module=function.module,
        name=function.name,
        number=live.NUMBERS[function.name],
        count=_COUNT,
        entered=_printf(live.entered(function)),
        returned=_printf(live.returned(function)),
        gone="\tknown[self->vm] = 0;\n" if function.name == live.DESTROY else "",
    )


def _fault(function: Function) -> str:
    kept = live.kept(function)
    return _FAULT.format(
        module=function.module,
        name=function.name,
        count=_COUNT,
        kept="".join(f"\tself->{name} = {source};\n" for name, source in kept.items()),
        returned=_printf(live.returned(function)),
        cleared="".join(f"\tself->{name} = 0;\n" for name in kept),
    )


def _printf(line: Line) -> str:
    return _print("printf", line.format, line.sources)


def _print(function: str, form: str, values: Iterable[str]) -> str:
    arguments = ", ".join((_string(form), *values))
    return "\n\t    ".join(_wrapped(f"{function}({arguments});"))


def _wrapped(statement: str, width: int = 90) -> Iterator[str]:
    """*statement* in lines, broken at blanks that are outside of strings."""
    line = ""
    for part in re.findall(r'(?:"(?:[^"\\]|\\.)*"|[^ "])+', statement):
        if line and len(line) + len(part) >= width:
            yield line
            line = part
        else:
            line = f"{line} {part}" if line else part
    yield line


def _string(text: str) -> str:
    """*text* as a literal of D."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
