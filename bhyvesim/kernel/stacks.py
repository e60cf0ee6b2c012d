"""The calls that lead into the memory code, outermost first: system call, driver, ioctl."""

from __future__ import annotations

from bhyvesim.errors import Frame

_SYSCALL = tuple(
    Frame(f) for f in ("brand_sys_syscall", "ioctl", "fop_ioctl", "spec_ioctl", "cdev_ioctl")
)
_DEVICE_IOCTL = (*_SYSCALL, Frame("vmm_ioctl"), Frame("vmmdev_do_ioctl"))
MMAP = (*_DEVICE_IOCTL, Frame("vm_mmap_memseg"))
MUNMAP = (*_DEVICE_IOCTL, Frame("vm_munmap_memseg"))
REINIT = (*_DEVICE_IOCTL, Frame("vm_reinit"), Frame("vm_cleanup"))
DESTROY = (
    *_SYSCALL,
    *(
        Frame(f)
        for f in (
            "vmm_ioctl",
            "vmm_ctl_ioctl",
            "vmmdev_do_vm_destroy",
            "vmm_do_vm_destroy_locked",
            "vm_destroy",
            "vm_cleanup",
        )
    ),
)
UNMAP_MMIO = (Frame("vmx_vmcleanup"), Frame("vm_unmap_mmio"))
RUN = (*_DEVICE_IOCTL, Frame("vm_run"))
