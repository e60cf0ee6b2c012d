"""A VM in memory: a machine made from a description, with its owner's habits."""

from __future__ import annotations

from bhyvesim.kernel.contents import read_guest, write_guest
from bhyvesim.kernel.gpt.access import Access
from bhyvesim.kernel.machine import Machine
from bhyvesim.vm import life
from bhyvesim.vm.spec import VmSpec


class Vm(Machine):
    """A machine with the segments and memmaps of *spec*; not booted yet.

    >>> from bhyvesim import load
    >>> vm = load("configs/testvm.yaml").boot()
    >>> vm.access(0x1000, 2, "w").ok
    2
    >>> vm.reboot().lost
    ()

    Raises Refused and KernelStop as the kernel does when they are made.
    """

    def __init__(self, spec: VmSpec) -> None:
        super().__init__(**spec.machine_arguments)
        self.spec = spec
        life.allocate(self, spec)

    def boot(self) -> Vm:
        """The guest runs, and touches what its description says; returns the VM itself."""
        life.boot(self, self.spec)
        return self

    def reboot(self) -> life.Rebooted:
        """VM_REINIT, the devmem mapped again, the guest booted: what that came to."""
        return life.reboot(self, self.spec)

    def read(self, gpa: int, size: int) -> bytes:
        """*size* bytes as a vCPU reads them at *gpa*; shorter where an access fails."""
        return read_guest(self, gpa, size).data

    def write(self, gpa: int, data: bytes) -> Access:
        """A vCPU writes *data* at *gpa*, page after page, up to the first fault."""
        return write_guest(self, gpa, data)
