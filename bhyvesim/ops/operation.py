"""What an operation is: a frozen value that can be done to a machine, and its JSON form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self

from bhyvesim.errors import KernelHang, KernelPanic, Refused
from bhyvesim.kernel.machine import Machine
from bhyvesim.ops.keys import Key, read_keys
from bhyvesim.values import Value

Result = dict[str, Any]
Recorder = Callable[["Operation"], None]


class Operation(Value, ABC):
    """One thing to do to a machine; each operation is a class of its own.

    ``changes``: whether it may change the machine; ``guest``: whether the guest itself does
    it, which it cannot while it is powered off.
    """

    op: ClassVar[str]
    keys: ClassVar[tuple[Key, ...]] = ()
    changes: ClassVar[bool] = True

    @property
    def guest(self) -> bool:
        return False

    @abstractmethod
    def perform(self, machine: Machine) -> Any:
        """Do it; what it came to, as a value. Raises Refused and KernelStop."""

    def do(self, machine: Machine) -> Any:
        """:meth:`perform`; who records the machine is told before."""
        if machine.recorder is not None:
            machine.recorder(self)
        return self.perform(machine)

    def shown(self, value: Any) -> Result:
        """What :meth:`perform` came to, as a replay prints it."""
        return {"ok": 0}

    def apply(self, machine: Machine) -> Result:
        """Do it; what it came to as a replay prints it, refusals, panics and hangs included."""
        try:
            return self.shown(self.do(machine))
        except KernelPanic as panic:
            return {"panic": {"function": panic.function, "message": panic.message}}
        except KernelHang as hang:
            return {"hang": {"function": hang.function}}
        except Refused as refused:
            return {"error": refused.errno_name}

    def record(self) -> dict[str, Any]:
        """The JSON form, without what is left at its default."""
        values = ((key, getattr(self, key.argument)) for key in self.keys)
        return {
            "op": self.op,
            **{key.name: key.write(value) for key, value in values if value != key.default},
        }

    @classmethod
    def of(cls, record: dict[str, Any]) -> Self:
        """The inverse of :meth:`record`. Raises BadValue where it is malformed."""
        return cls(**read_keys(cls.op, cls.keys, record))
