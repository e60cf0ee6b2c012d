"""What the tests of `import` share: a text is imported, or refused in one line."""

from __future__ import annotations

import pytest
import yaml


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
