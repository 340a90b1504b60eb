"""What every test shares: one BLAS thread, repeatable hypothesis runs, and the rule for outside tools."""

import os

# Before anything imports numpy: threads inside BLAS turn operations on a few qubits from 0.05 ms into 8 ms.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import shutil
from collections.abc import Callable

import pytest
from hypothesis import settings

settings.register_profile("bellwire", derandomize=True, deadline=None, database=None)
settings.load_profile("bellwire")

_MISSING = "missing tool"
"""The property of a test's report that names the tool it was skipped for; reports come from all of xdist's workers."""


@pytest.fixture
def require_tool(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """The path of an outside program: `tshark = require_tool("tshark")`.

    Tests never install anything. Without the program the test is skipped, and the summary at the end says
    so; where BELLWIRE_REQUIRE_TOOLS=1 is set, as .ci/run does, it fails: nothing goes untested there unseen.
    """

    def find(name: str) -> str:
        # Debian keeps daemons in /usr/sbin, which is not on everybody's PATH.
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
        if found:
            return found
        if os.environ.get("BELLWIRE_REQUIRE_TOOLS") == "1":
            pytest.fail(f"{name} is not installed, and BELLWIRE_REQUIRE_TOOLS=1 demands it", pytrace=False)
        request.node.user_properties.append((_MISSING, name))
        pytest.skip(f"{name} is not installed")

    return find


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names the tools whose absence left something untested, and what that was."""
    missing: dict[str, set[str]] = {}
    for report in terminalreporter.getreports("skipped"):
        for what, name in report.user_properties:
            if what == _MISSING:
                missing.setdefault(name, set()).add(report.nodeid)
    if missing:
        terminalreporter.section("NOT EVERYTHING WAS TESTED", yellow=True, bold=True)
    for name, tests in sorted(missing.items()):
        terminalreporter.line(f"{name} is not installed, so these were skipped: {', '.join(sorted(tests))}")
