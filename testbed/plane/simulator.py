"""The door to SeQUeNCe: what the plane takes from its kernel, imported without what that imports and we never call.

SeQUeNCe's own quantum managers, which ours takes the place of, use SciPy, and QuTiP, which brings matplotlib along:
five sixths of the time in which a plane would come up.  So while SeQUeNCe is imported here, each of their names is
a promise that imports the real thing when it is first used, as it is by whoever runs those managers
(``testbed.validate.sequence``).  Where the packages have been imported already they are left as they are.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class Promise:
    """Stands for ``name`` of ``module`` until it is called, asked for an attribute or used in ``isinstance``."""

    def __init__(self, module: str, name: str) -> None:
        self._place = (module, name)

    def _kept(self) -> Any:
        module, name = self._place
        return getattr(import_module(module), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._kept()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kept(), name)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._kept())


class _Shell(ModuleType):
    """A module all of whose names are promises."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name.endswith("Warning"):
            return type(name, (Warning,), {})  # a filter takes a class; one that ignores this ignores nothing
        return Promise(self.__name__, name)


class _Shells(MetaPathFinder, Loader):
    """Finds an empty shell for every module of ``packages``."""

    def __init__(self, packages: tuple[str, ...]) -> None:
        self._packages = packages

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        ours = fullname.partition(".")[0] in self._packages
        return ModuleSpec(fullname, self, is_package=True) if ours else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Shell(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing in it."""


@contextmanager
def postponed(*packages: str) -> Iterator[None]:
    """What is imported inside gets promises in place of the names of ``packages``; afterwards all is as it was."""
    shells = _Shells(tuple(p for p in packages if p not in sys.modules))
    sys.meta_path.insert(0, shells)
    try:
        yield
    finally:
        sys.meta_path.remove(shells)
        for name in [name for name, module in sys.modules.items() if isinstance(module, _Shell)]:
            del sys.modules[name]


with postponed("qutip", "qutip_qip", "scipy"):
    from sequence.components.circuit import Circuit
    from sequence.constants import DENSITY_MATRIX_FORMALISM
    from sequence.kernel.entity import Entity
    from sequence.kernel.event import Event
    from sequence.kernel.process import Process
    from sequence.kernel.quantum_gates import gate_matrix
    from sequence.kernel.quantum_manager import QuantumManager
    from sequence.kernel.timeline import Timeline

__all__ = [
    "DENSITY_MATRIX_FORMALISM",
    "Circuit",
    "Entity",
    "Event",
    "Process",
    "QuantumManager",
    "Timeline",
    "gate_matrix",
]
