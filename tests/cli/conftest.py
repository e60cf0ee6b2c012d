"""What tests of commands share: an import that succeeds or is refused, and a broken machine."""

from __future__ import annotations

import pytest
import yaml

from bhyvesim import KernelPanic, Machine


@pytest.fixture
def imported(cli, vm_file):
    """Import *text* from a file; returns the description, its text, and standard error."""

    def run(text, *argv, file="foreign"):
        status, out, err = cli("import", vm_file(text, file), *argv)
        assert status == 0, err
        return yaml.safe_load(out), out, err

    return run


@pytest.fixture
def refused(cli, vm_file):
    """The one line with which *text* is refused, from its line number on."""

    def run(text, file="foreign"):
        path = vm_file(text, file)
        status, out, err = cli("import", path)
        assert (status, out, err.count("\n")) == (2, "", 1)
        return err.removeprefix(f"bhyvesim: {path}:").rstrip("\n")

    return run


@pytest.fixture
def twin_leaf():
    """A machine that panicked on the way across 512 GiB: its leaf there exists twice."""
    vm = Machine("15844", debug=False)
    vm.alloc_memseg(0, 0x200000)
    vm.mmap_memseg(0x8000001000, 0, 0, 0x1000, 7)
    vm.access(0x8000001000, 1, 2)
    with pytest.raises(KernelPanic):
        vm.mmap_memseg(0x7FFFFFF000, 0, 0, 0x2000, 7)
    return vm
