"""What is found out about an implementation, by a script or by a rule for traces.

What may live here: records, and the words of a verdict.
"""

from typing import Final, NamedTuple

from testbed.conformance.catalogue import Requirement

PASS: Final = "pass"
FAIL: Final = "fail"
INCONCLUSIVE: Final = "inconclusive"
NOT_SUPPORTED: Final = "not supported"


class Result(NamedTuple):
    """What came of one script."""

    script: str
    decides: tuple[str, ...]
    verdict: str
    why: str
    evidence: tuple[str, ...]


class Verdict(NamedTuple):
    """What is known of one requirement."""

    requirement: Requirement
    verdict: str
    why: str
    scripts: tuple[str, ...]
