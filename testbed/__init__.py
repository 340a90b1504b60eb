"""The lab around the nodes: quantum plane, clocks, launcher, traces, validation.

For programs and notebooks:

    from testbed import Testbed

    with Testbed("my-network.yaml") as bed:
        print(bed.ping("west", "east").pairs_per_s)
"""

TYPE_CHECKING = False  # as type checkers know it; ``typing`` itself would be most of what this import costs

if TYPE_CHECKING:
    from testbed.errors import BadInput
    from testbed.standing.testbed import AsyncTestbed, JobStatus, Ping, Status, Testbed, TestbedError

__all__ = ["AsyncTestbed", "BadInput", "JobStatus", "Ping", "Status", "Testbed", "TestbedError"]


def __getattr__(name: str) -> object:
    # Only when asked for: every process of the lab imports this package, and few of them want this.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("testbed.errors" if name == "BadInput" else "testbed.standing.testbed"), name)
