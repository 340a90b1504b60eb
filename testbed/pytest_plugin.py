"""For tests of your own: the fixture ``testbed``, which brings networks up and sees them down.

What may live here: pytest fixtures for users.  pytest finds this file by itself where Bellwire is installed.

    def test_a_pair_in_time(testbed):
        bed = testbed("my-network.yaml", dilation=100)
        assert bed.ping("west", "east", pairs=1).pairs == 1
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testbed.owner import OWNER

if TYPE_CHECKING:
    from testbed.standing.testbed import Testbed


def pytest_configure() -> None:
    """Whatever Bellwire the tests bring up, by whatever way, ends when they do, also if they are killed."""
    os.environ[OWNER] = str(os.getpid())


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[Callable[..., "Testbed"]]:
    """Call it with a scenario and what ``testbed.Testbed`` takes besides; every network it brings up is down again at
    the end of the test, its files in the test's ``tmp_path``."""
    from testbed.standing.testbed import Testbed

    with ExitStack() as stack:
        # Of their own: the paths of sockets must be short.
        sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bellwire-")))
        count = 0

        def bring_up(scenario: str | Path, **options: Any) -> Testbed:
            nonlocal count
            count += 1
            own: dict[str, Any] = {"name": f"bed-{count}", "out": tmp_path / f"bed-{count}", "folder": sockets}
            return stack.enter_context(Testbed(scenario, **(own | options)))

        yield bring_up
