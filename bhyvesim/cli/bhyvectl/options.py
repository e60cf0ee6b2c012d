"""bhyvectl's option table: every name of 2021 and 2023, so that abbreviations mean what they do.

The two names that 2023 added are in it: what was no abbreviation of theirs then still works.
"""

from __future__ import annotations

_PLAIN = """
create destroy get-memmap get-memseg get-eptp force-reset force-poweroff inject-nmi run
wrlock-cycle get-stats get-all get-active-cpus get-suspended-cpus get-cpu-topology get-intinfo
get-exit-reason getcap get-rtc-time get-rtc-nvram
get-efer get-cr0 get-cr2 get-cr3 get-cr4 get-dr0 get-dr1 get-dr2 get-dr3 get-dr6 get-dr7
get-rsp get-rip get-rax get-rflags get-rbx get-rcx get-rdx get-rsi get-rdi get-rbp
get-r8 get-r9 get-r10 get-r11 get-r12 get-r13 get-r14 get-r15
get-cs get-ds get-es get-fs get-gs get-ss get-tr get-ldtr
get-desc-ds set-desc-ds get-desc-es set-desc-es get-desc-ss set-desc-ss get-desc-cs set-desc-cs
get-desc-fs set-desc-fs get-desc-gs set-desc-gs get-desc-tr set-desc-tr get-desc-ldtr
set-desc-ldtr get-desc-gdtr set-desc-gdtr get-desc-idtr set-desc-idtr
get-x2apic-state get-exception-bitmap get-io-bitmap-address get-tsc-offset get-msr-bitmap
get-msr-bitmap-address get-guest-pat get-guest-sysenter
get-vmcs-pinbased-ctls get-vmcs-procbased-ctls get-vmcs-procbased-ctls2
get-vmcs-guest-linear-address get-vmcs-guest-physical-address get-vmcs-entry-interruption-info
get-vmcs-cr0-mask get-vmcs-cr0-shadow get-vmcs-cr4-mask get-vmcs-cr4-shadow
get-vmcs-cr3-targets get-vmcs-tpr-threshold get-vmcs-vpid get-vmcs-exit-ctls get-vmcs-entry-ctls
get-vmcs-instruction-error get-vmcs-host-pat get-vmcs-host-cr0 get-vmcs-host-cr3
get-vmcs-host-cr4 get-vmcs-host-rip get-vmcs-host-rsp get-vmcs-exit-qualification
get-vmcs-exit-inst-length get-vmcs-interruptibility get-vmcs-exit-interruption-error
get-vmcs-exit-interruption-info get-vmcs-link get-apic-access-address get-virtual-apic-address
get-vmcb-intercepts get-vmcb-asid get-vmcb-exit-details get-vmcb-tlb-ctrl get-vmcb-virq
get-avic-apic-bar get-avic-backing-page get-avic-table
"""

_WITH_ARGUMENT = """
vm cpu set-mem get-gpa-pmap pmtmr-port setcap capname assert-lapic-lvt set-rtc-time
set-rtc-nvram rtc-nvram-offset unassign-pptdev
set-efer set-cr0 set-cr2 set-cr3 set-cr4 set-dr0 set-dr1 set-dr2 set-dr3 set-dr6 set-dr7
set-rsp set-rip set-rax set-rflags set-cs set-ds set-es set-fs set-gs set-ss set-tr set-ldtr
desc-base desc-limit desc-access set-x2apic-state set-exception-bitmap
set-vmcs-entry-interruption-info
"""

_SINCE_2023 = "pause resume"

# In bhyvectl's usage text, and refused by its parser. Here they work.
_PROMISED = "get-lowmem get-highmem"

TABLE: tuple[tuple[str, bool], ...] = (
    *((name, False) for name in _PLAIN.split()),
    *((name, True) for name in _WITH_ARGUMENT.split()),
    *((name, False) for name in _SINCE_2023.split()),
    *((name, False) for name in _PROMISED.split()),
)

SIMULATED = frozenset(
    (
        "vm",
        "cpu",
        "create",
        "set-mem",
        "get-memseg",
        "get-memmap",
        "get-lowmem",
        "get-highmem",
        "get-eptp",
        "get-gpa-pmap",
        "get-stats",
        "pause",
        "resume",
        "force-reset",
        "force-poweroff",
        "destroy",
    )
)
