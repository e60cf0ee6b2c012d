"""A host that is none: simulated kernels, with what the script of `bhyvesim record` would print.

It listens to the calls that the script has probes on, and prints by the same table of lines.
"""

from __future__ import annotations

import json

from bhyvesim.errors import ERRNOS
from bhyvesim.kernel.calls import Firing
from bhyvesim.ops import ioctls as ops
from bhyvesim.ops import live
from tests.live.dtrace import MEMORY

VMM, BHYVECTL = (100, 1), (200, 1)  # threads: process and number
VCPU = (100, 2)
_NAME = 0xFFFFFE0C00000000  # where in the kernel the name of a new VM is


def printed(line, values):
    """*line* as printf() prints it."""
    wanted = [values[field.name] for field in line.fields if "%" in field.format]
    return line.format.replace("%@d", "%d") % tuple(wanted)


class Host:
    """Prints ``lines``; VMs are made with :meth:`create` and do what :meth:`do` is told.

    *fired* hears of each probe that dtrace would have: function, name, thread, arguments, time.
    """

    def __init__(self, *, faults=True, fired=lambda *probe: None):
        self.fired = fired
        self.lines = [printed(live.begun(faults=faults), {})]
        self.faults = faults
        self.time = 10**12
        self.count = {}

    def create(self, name="alpha", gpt="2025", *, vm=0xFFFFFE0B12340000, **more):
        track = more.pop("track_dirty", False)
        create = ops.Create(gpt, more.pop("debug", False), more.pop("npt", "rvi"), track, **more)
        guest = Guest(self, vm, create.machine())
        flags = live.TRACK_DIRTY if track else 0
        self._creating(name, vm, flags)
        values = {"fn": live.CREATE, "name": name, "flags": flags, "ret": 0}
        self.print(guest, VMM, live.CREATED, values)
        return guest

    def _creating(self, name, vm, flags):
        """The probes of a creation; a second VM is made with its name as an argument."""
        MEMORY[_NAME] = name
        older = len(self.count) % 2
        time = self.time + 1000
        self.fired("vmmdev_do_vm_create", "entry", VMM, (_NAME, 0), time)
        self.fired("vm_create", "entry", VMM, (_NAME, flags, 0) if older else (flags, 0), time)
        self.fired("vioapic_init", "entry", VMM, (vm,), time)
        self.fired("vm_create", "return", VMM, (0x40, 0), time)
        self.fired("vmmdev_do_vm_create", "return", VMM, (0x80, 0), time)

    def print(self, guest, thread, line, values):
        key = (guest.vm, *thread)
        self.count[key] = self.count.get(key, 0) + 1
        self.time += 1000
        vm, pid, tid = key
        head = {"vm": vm, "pid": pid, "tid": tid, "n": self.count[key], "t": self.time}
        self.lines.append(printed(line, {**head, **values}))

    def end(self):
        """^C: the counts, and the last line."""
        for (vm, pid, tid), lines in self.count.items():
            values = {"vm": vm, "pid": pid, "tid": tid, "lines": lines}
            self.lines.append(printed(live.TOTAL, values))
        self.lines.append(printed(live.END, {}))
        return self

    @property
    def text(self):
        return "".join(self.lines)

    def last(self, **keys):
        """The number of the last line with these values, from 1 on."""
        return max(
            number
            for number, line in enumerate(self.lines, start=1)
            if keys.items() <= json.loads(line).items()
        )


class Guest:
    """One VM on the host."""

    def __init__(self, host, vm, machine):
        self.host = host
        self.vm = vm
        self.machine = machine
        self.stopped = False
        self._thread = VMM
        self._inside = None
        self._flags = 0
        machine.listen(self._heard)

    def do(self, *operations, thread=VMM):
        """Do *operations*, as replay would; a host that panicked or hangs prints no more."""
        for operation in operations:
            if self.stopped:
                break
            self._thread = VCPU if isinstance(operation, ops.Access) else thread
            wired = isinstance(operation, ops.MmapMemseg) and operation.wired
            self._flags = live.WIRED if wired else 0
            result = operation.apply(self.machine)
            self.stopped = "panic" in result or "hang" in result
        return self

    def _heard(self, firing: Firing):
        self._fire(firing)
        function = firing.function
        recorded = live.RECORDED.get(function.name)
        if recorded is None or self._inside not in (None, function.name):
            return
        if recorded.fault:
            if firing.returned and self.host.faults and self._is_running(firing):
                self._faults(firing)
            return
        self._inside = None if firing.returned else function.name
        self._print(firing, live.returned if firing.returned else live.entered, {})

    def _fire(self, firing):
        """The probe, as many times as the call was made; one that comes back at a time."""
        name, recorded = firing.function.name, live.RECORDED.get(firing.function.name)
        if recorded is None or not recorded.fault:
            for end in ("return",) if firing.returned else ("entry",):
                self.host.fired(name, end, self._thread, self._arguments(firing), self._time())
        elif firing.returned:
            for call in range(firing.times):
                for end in ("entry", "return"):
                    entry = end == "entry"
                    arguments = self._arguments(firing._replace(returned=not entry), call)
                    self.host.fired(name, end, self._thread, arguments, self._time(call))

    def _time(self, call=0):
        return self.host.time + 1000 * (call + 1)

    def _arguments(self, firing, call=0):
        if firing.returned:
            return (0x40, firing.result or 0)
        values = {**firing.frame.named(), "vm": self.vm, "flags": self._flags}
        if "gpa" in values:
            values["gpa"] += call * firing.step
        more = (
            live.RECORDED[firing.function.name].more
            if firing.function.name in live.RECORDED
            else ()
        )
        params = (*firing.function.params, *more)
        return tuple(values.get(p.name, 0xBADBADBAD) for p in params)

    def _is_running(self, firing):
        return any(frame.function == live.RUN for frame in firing.stack)

    def _faults(self, firing):
        gpa = firing.frame.named()["gpa"]
        for call in range(firing.times):
            self._print(firing, live.returned, {"gpa": gpa + call * firing.step})

    def _print(self, firing, line, more):
        function = firing.function
        values = {"fn": function.name, "flags": self._flags, "ret": firing.result or 0}
        values |= {**firing.frame.named(), **more}
        self.host.print(self, self._thread, line(function), values)


def lost(text, *numbers):
    """*text* without its lines *numbers*, from 1 on."""
    kept = [line for n, line in enumerate(text.splitlines(True), start=1) if n not in numbers]
    return "".join(kept)


def replaced(text, number, **values):
    """*text* with other values in its line *number*."""
    lines = text.splitlines()
    lines[number - 1] = json.dumps({**json.loads(lines[number - 1]), **values})
    return "\n".join(lines) + "\n"


def errno(name):
    return ERRNOS[name]
