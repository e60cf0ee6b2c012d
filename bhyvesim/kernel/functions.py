"""The simulated functions of the kernel: their modules, and what of their arguments is known.

A revision has a table of them (:class:`~bhyvesim.kernel.revisions.Revision`); stacks and
firings take their names and arguments from there. Arguments in square brackets are pointers
and the like, which the simulation has no value for. Source: the prototypes in the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bhyvesim.errors import Frame


class Param(NamedTuple):
    """One argument: its type and name in C, and whether the simulation has a value for it."""

    type: str
    name: str
    known: bool

    def __str__(self) -> str:
        return _declared(self.type, self.name)


class Function(NamedTuple):
    """One function: its module, name, arguments in order, and the type that it returns."""

    module: str
    name: str
    params: tuple[Param, ...]
    returns: str

    @classmethod
    def of(cls, prototype: str) -> Function:
        """From ``module:type name(type argument, [type unknown])``; the module may be left out."""
        head, opened, args = prototype.removesuffix(")").partition("(")
        assert opened, prototype
        assert prototype.endswith(")"), prototype
        module, named, declared = head.rpartition(":")
        assert module.isidentifier() or not named, prototype
        returns, name = _parted(declared)
        params = tuple(map(_param, args.split(", "))) if args else ()
        return cls(module or "vmm", name, params, returns)

    def frame(self, values: Mapping[str, int]) -> Frame:
        """A call of it: those of *values* that are its arguments."""
        known = [p.name for p in self.params if p.known and p.name in values]
        return Frame(self.name, tuple(values[name] for name in known), tuple(known))

    def __str__(self) -> str:
        args = ", ".join(map(str, self.params)) or "void"
        return f"{_declared(self.returns, self.name)}({args})"


def _declared(kind: str, name: str) -> str:
    return f"{kind}{'' if kind.endswith('*') else ' '}{name}"


def _param(text: str) -> Param:
    return Param(*_parted(text.strip("[]")), known=not text.startswith("["))


def _parted(declared: str) -> tuple[str, str]:
    """Type and name of what is declared; the star of a pointer is the type's."""
    at = max(declared.rfind(" "), declared.rfind("*")) + 1
    kind, name = declared[:at].rstrip(), declared[at:]
    assert kind, declared
    assert name, declared
    assert not set(declared) & set("(),:"), declared
    return kind, name


def table(*prototypes: str) -> dict[str, Function]:
    """Functions by name."""
    return {function.name: function for function in map(Function.of, prototypes)}


# From the system call, the processor's trap or a thread's start to the vmm driver.
OUTER = table(
    "unix:void brand_sys_syscall()",
    "genunix:int ioctl([int fdes], [int cmd], [intptr_t arg])",
    "genunix:int fop_ioctl([vnode_t *vp], [int cmd], [intptr_t arg], [int flag], [cred_t *cr])",
    "specfs:int spec_ioctl([vnode_t *vp], [int cmd], [intptr_t arg], [int mode], [cred_t *cr])",
    "genunix:int cdev_ioctl([dev_t dev], [int cmd], [intptr_t data], [int flag])",
    "unix:void cmntrap()",
    "unix:void trap([regs_t *rp], [caddr_t addr], [processorid_t cpuid])",
    "unix:faultcode_t pagefault([caddr_t addr], [fault_type_t type], [enum seg_rw rw])",
    "genunix:faultcode_t as_fault([hat_t *hat], [as_t *as], [caddr_t addr], [size_t size])",
    "unix:void thread_start()",
    "viona:void viona_worker([void *arg])",
    "viona:void viona_worker_tx([viona_vring_t *ring], [viona_link_t *link])",
    "viona:void viona_tx([viona_link_t *link], [viona_vring_t *ring])",
    "viona:int vq_popchain([viona_vring_t *ring], [iovec_t *iov], [uint_t niov])",
    "viona:int vq_map_desc_bufs([viona_vring_t *ring])",
    "viona:vmm_page_t *viona_hold_page([viona_vring_t *ring], uint64_t gpa)",
)

# vmm.c and vmm_sol_dev.c.
DRIVER = table(
    "int vmm_ioctl([dev_t dev], [int cmd], [intptr_t arg], [int mode], [cred_t *credp])",
    "int vmmdev_do_ioctl([vmm_softc_t *sc], [int cmd], [intptr_t arg], [int md], [cred_t *credp])",
    "int vmm_ctl_ioctl([int cmd], [intptr_t arg], [int md], [cred_t *cr])",
    "int vmmdev_do_vm_destroy([struct vm_destroy_req *req], [cred_t *cr])",
    "int vmm_do_vm_destroy_locked([vmm_softc_t *sc])",
    "void vm_destroy([struct vm *vm])",
    "int vm_reinit([struct vm *vm])",
    "void vm_cleanup([struct vm *vm], bool destroy)",
    "int vm_alloc_memseg([struct vm *vm], int segid, size_t len, bool sysmem)",
    "int vm_mmap_memseg([struct vm *vm], vm_paddr_t gpa, int segid, vm_ooffset_t segoff, "
    "size_t len, int prot)",
    "int vm_munmap_memseg([struct vm *vm], vm_paddr_t gpa, size_t len)",
    "void vm_free_memmap([struct vm *vm], int ident)",
    "int vm_run([struct vm *vm], [int vcpuid])",
    "int vm_handle_paging([struct vm *vm], [int vcpuid])",
    "void vmx_vmcleanup([void *arg])",
    "void vm_unmap_mmio([struct vm *vm], vm_paddr_t gpa, size_t len)",
    "int vm_map_mmio([struct vm *vm], vm_paddr_t gpa, size_t len)",
    "int segvmm_fault([hat_t *hat], [struct seg *seg], [uintptr_t va], [size_t len])",
    "int segvmm_fault_space([hat_t *hat], [struct seg *seg], [uintptr_t va], [size_t len])",
    "void *vmm_drv_gpa2kva([vmm_hold_t *hold], uint64_t gpa, [size_t sz])",
)

# The page tables before illumos 15844: ranges by their ends.
_TABLES = table(
    "bool vmm_gpt_map([vmm_gpt_t *gpt], uint64_t gpa, [pfn_t pfn], uint_t prot, [uint8_t attr])",
    "void vmm_gpt_populate_region([vmm_gpt_t *gpt], uint64_t start, uint64_t end)",
    "size_t vmm_gpt_unmap_region([vmm_gpt_t *gpt], uint64_t start, uint64_t end)",
    "void vmm_gpt_vacate_region([vmm_gpt_t *gpt], uint64_t start, uint64_t end)",
    "void vmm_gpt_vacate_entry([vmm_gpt_t *gpt], uint64_t gpa)",
)

# 13932 and 14042: a vm_map of FreeBSD's making above one set of operations a processor.
VM_MAP = {
    **OUTER,
    **DRIVER,
    **_TABLES,
    **table(
        "int vm_map_find([vm_map_t map], [vm_object_t vmo], vm_ooffset_t segoff, "
        "vm_offset_t addr, vm_size_t len, vm_prot_t prot)",
        "int vm_map_wire([vm_map_t map], vm_offset_t start, vm_offset_t end, [int flags])",
        "int vm_map_remove([vm_map_t map], vm_offset_t start, vm_offset_t end)",
        "int vm_fault([vm_map_t map], vm_offset_t gpa, vm_prot_t prot, [int flag])",
        "void *vm_gpa_hold([struct vm *vm], vm_paddr_t gpa, [size_t len], int prot)",
        "void vm_gpa_release([void *cookie])",
        "void vmm_gpt_populate_entry([vmm_gpt_t *gpt], uint64_t gpa)",
        *(
            prototype
            for npt in ("rvi", "ept")
            for prototype in (
                f"int {npt}_ops_map([void *arg], uint64_t gpa, [pfn_t pfn], [uint_t lvl], "
                "uint_t prot, [uint8_t attr])",
                f"uint64_t {npt}_ops_unmap([void *arg], uint64_t start, uint64_t end)",
            )
        ),
    ),
}

# 13896: the vmspace, its clients, and pages held by them.
VMSPACE = {
    **OUTER,
    **DRIVER,
    **_TABLES,
    **table(
        "int vmspace_map([vmspace_t *vms], [vm_object_t *vmo], uintptr_t segoff, uintptr_t addr, "
        "size_t len, uint8_t prot)",
        "int vmspace_populate([vmspace_t *vms], uintptr_t addr, size_t len)",
        "int vmspace_unmap([vmspace_t *vms], uintptr_t addr, size_t len)",
        "int vmspace_lookup_map([vmspace_t *vms], uintptr_t gpa, int prot)",
        "int vmc_fault([vmclient_t *vmc], uintptr_t gpa, int prot)",
        "vm_page_t *vmc_hold([vmclient_t *vmc], uintptr_t gpa, int prot)",
        "bool vmp_release([vm_page_t *vmp])",
        "void vmc_space_unmap([vmclient_t *vmc], uintptr_t addr, size_t len)",
    ),
}

# 14367.
COUNTED = {
    **VMSPACE,
    **table("int vm_track_dirty_pages([struct vm *vm], uint64_t gpa, size_t len, [uint8_t *out])"),
}

# 15844: ranges of the tables by address and length.
LEVELS = {
    **{name: f for name, f in COUNTED.items() if name != "vmm_gpt_vacate_entry"},
    **table(
        "void vmm_gpt_populate_region([vmm_gpt_t *gpt], uint64_t addr, uint64_t len)",
        "void vmm_gpt_populate_region_lvl([vmm_gpt_t *gpt], uint64_t addr, uint64_t len)",
        "void vmm_gpt_node_add([vmm_gpt_t *gpt], [vmm_gpt_node_t *parent], "
        "[vmm_gpt_node_t *child])",
        "size_t vmm_gpt_unmap_region([vmm_gpt_t *gpt], uint64_t addr, uint64_t len)",
        "void vmm_gpt_vacate_region([vmm_gpt_t *gpt], uint64_t addr, uint64_t len)",
    ),
}

# 2025.
CURRENT = {
    **LEVELS,
    **table("int vm_npt_do_operation([struct vm *vm], uint64_t gpa, size_t len, uint32_t oper)"),
}
