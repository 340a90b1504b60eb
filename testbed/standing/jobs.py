"""Jobs on a testbed that stays: circuits for its controller, what has become of them.

What may live here: the caller's end of a controller's calls (``stack.application.controller`` has the other).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from stack.sdk import CallFailed, Session, SessionEnded
from testbed.errors import BadInput, Place

MAX_SHOTS: Final = 1_000_000
MAX_AHEAD: Final = 0xFFFF
OVER: Final = ("DONE", "CANCELLED", "FAILED")


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job as its controller knows it; times in seconds of the controller's clock.

    ``state``: QUEUED, COMPILING, LOADING, RUNNING, RETREATING, CANCELLING, DONE, CANCELLED or FAILED (docs/jobs.md);
    ``reason``: why, if that is not plain.  ``counts``: bit strings in Qiskit's order; only where a single job was asked
    for.
    """

    job: int
    name: str
    state: str
    reason: str
    qubits: int
    shots: int
    shots_done: int
    shots_spoilt: int
    nodes: tuple[str, ...]
    submitted_s: float
    ended_s: float | None
    counts: Mapping[str, int] = field(default_factory=dict)
    pairs: int = 0

    @property
    def over(self) -> bool:
        return self.state in OVER


Progress = Callable[[JobStatus], None]


def read_circuit(circuit: Any) -> tuple[str, list[Any]]:
    """A name, and the circuit as a controller takes it.

    ``circuit``: the path of an OpenQASM file, or a Qiskit QuantumCircuit.  Raises BadInput, with file and line, or with
    the number of the instruction.
    """
    from testbed.circuits.lower import lower
    from testbed.circuits.parse import Given, parse
    from testbed.circuits.source import read_source

    if isinstance(circuit, str | Path):
        path = Path(circuit)
        parsed = parse(read_source(path, Place("command line", "circuit")))
        return path.stem, lower(parsed).to_json()
    if not hasattr(circuit, "data") or not hasattr(circuit, "qubits"):
        raise BadInput("circuit", type(circuit).__name__, "it is no circuit", "give a path or a Qiskit QuantumCircuit")
    name = str(circuit.name)[:100] or "circuit"
    return name, lower(Given(name, circuit)).to_json()


class ControllerCalls:
    """One session with a controller.  What it refuses is BadInput, and its end is SessionEnded."""

    def __init__(self, session: Session, testbed: str) -> None:
        self._session = session
        self._testbed = testbed

    def submit(
        self, circuit: Any, shots: int, name: str | None, minimum_fidelity: float, ahead: int = 0
    ) -> JobStatus:
        if type(shots) is not int or not 1 <= shots <= MAX_SHOTS:
            raise BadInput("circuit", "shots", f"{shots!r:.40} shots", f"give a whole number from 1 to {MAX_SHOTS}")
        if type(minimum_fidelity) not in (int, float) or not 0 <= minimum_fidelity <= 1:
            raise BadInput("circuit", "fidelity", f"{minimum_fidelity!r:.40} is none", "give a number from 0 to 1")
        if type(ahead) is not int or not 0 <= ahead <= MAX_AHEAD:
            raise BadInput("circuit", "ahead", f"{ahead!r:.40} pairs", f"give a whole number from 0 to {MAX_AHEAD}")
        own, told = read_circuit(circuit)
        named = own if name is None else name
        wishes = {"minimum_fidelity": minimum_fidelity, "ahead": ahead}
        asked = {"circuit": told, "shots": shots, "called": named, **wishes}
        return _status(self._call("submit", asked, "submit a smaller job, or wait for QPUs to come back"))

    def jobs(self) -> list[JobStatus]:
        return [_status(facts) for facts in self._call("jobs", {}, "")]

    def job(self, number: int) -> JobStatus:
        return _status(self._call("job", {"job": number}, "ask for one that there is: bellwire jobs"))

    def cancel(self, number: int) -> JobStatus:
        return _status(self._call("cancel_job", {"job": number}, "see what there is: bellwire jobs"))

    def wait(self, number: int, progress: Progress) -> JobStatus:
        """Until it is over; ``progress`` is called whenever something has changed."""
        seen = 0
        while True:
            facts = self._call("job_news", {"job": number, "seen": seen}, "see what there is: bellwire jobs")
            status, seen = _status(facts), facts["version"]
            progress(status)
            if status.over:
                return self.job(number)

    def _call(self, name: str, arguments: dict[str, Any], remedy: str) -> Any:
        try:
            return self._session.call(name, **arguments)
        except CallFailed as failed:
            raise BadInput(self._testbed, self._session.name, str(failed), remedy) from None


def _status(facts: dict[str, Any]) -> JobStatus:
    ended_ps = facts["ended_ps"]
    return JobStatus(
        job=facts["job"],
        name=facts["name"],
        state=facts["state"],
        reason=facts["reason"],
        qubits=facts["qubits"],
        shots=facts["shots"],
        shots_done=facts["shots_done"],
        shots_spoilt=facts["shots_spoilt"],
        nodes=tuple(facts["nodes"]),
        submitted_s=facts["submitted_ps"] * 1e-12,
        ended_s=None if ended_ps is None else ended_ps * 1e-12,
        counts=facts.get("counts", {}),
        pairs=facts.get("pairs", 0),
    )


__all__ = ["OVER", "ControllerCalls", "JobStatus", "Progress", "SessionEnded", "read_circuit"]
