"""The machine that a command looks at: the stored VM that is meant."""

from __future__ import annotations

from dataclasses import dataclass

from bhyvesim.cli.session import Session
from bhyvesim.kernel.calls import build_name
from bhyvesim.kernel.machine import Machine
from bhyvesim.store.codec import decode_spec
from bhyvesim.store.maps import decoding
from bhyvesim.vm.spec import VmSpec


@dataclass(frozen=True, slots=True)
class Subject:
    """A machine to look at, the VM's name and description, and a line that says what it is."""

    name: str
    spec: VmSpec
    machine: Machine
    title: str


def subject(session: Session) -> Subject:
    """The VM that is meant; after a panic or hang, as its dump has it.

    Raises as Session.name(), and StateError where what is stored cannot be used.
    """
    row = session.stored_to_show()
    with decoding(row.name):
        spec = decode_spec(row.spec)
    kernel = f"kernel {spec.kernel.gpt} {build_name(spec.kernel.debug)}, {spec.npt.upper()}"
    title = f"{row.name}: {row.state}, {kernel}"
    return Subject(row.name, spec, session.host.machine(row.name), title)
