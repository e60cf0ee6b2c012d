"""The calls that lead into the memory code, outermost first: system call, driver, ioctl."""

from __future__ import annotations

_SYSCALL = ("brand_sys_syscall", "ioctl", "fop_ioctl", "spec_ioctl", "cdev_ioctl", "vmm_ioctl")
DEVICE_IOCTL = (*_SYSCALL, "vmmdev_do_ioctl")
REINIT = (*DEVICE_IOCTL, "vm_reinit", "vm_cleanup")
DESTROY = (
    *_SYSCALL,
    "vmm_ctl_ioctl",
    "vmmdev_do_vm_destroy",
    "vmm_do_vm_destroy_locked",
    "vm_destroy",
    "vm_cleanup",
)
UNMAP_MMIO = ("vmx_vmcleanup", "vm_unmap_mmio")
RUN = (*DEVICE_IOCTL, "vm_run")

# How a device model gets at a page to send a packet; the functions are viona's.
VIONA_TX = (
    "thread_start",
    "viona_worker",
    "viona_worker_tx",
    "viona_tx",
    "vq_popchain",
    "vq_map_desc_bufs",
    "viona_hold_page",
    "vmm_drv_gpa2kva",
)
# How a userspace mapping of guest space does, and keeps it.
SEGVMM = ("cmntrap", "trap", "pagefault", "as_fault", "segvmm_fault", "segvmm_fault_space")
