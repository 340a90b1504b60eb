"""When a row passes and when a table does.

A row fails beyond 5 σ, or, where the figure is exact, beyond 1e-6; a table fails when the χ² of its rows is
so large that chance would give it once in a million times.
"""

from math import erfc, exp, isfinite, pi, sqrt

from testbed.validate.table import Case, Measurement, Row

ROW_SIGMA = 5.0
EXACT = 1e-6
# An absolute 1e-6 says nothing about a probability of 1e-6, and too much about a rate of 1e6: exact figures must also
# agree to a thousandth, and those above one to 1e-6 of themselves.
EXACT_RELATIVE = 1e-3
TABLE_CHANCE = 1e-6
INCONCLUSIVE = 0.5
"""A measurement that was cut short, and whose error is larger than this share of what is expected, shows nothing."""


def judge(case: Case, measured: Measurement) -> Row:
    """The row of a case with its measurement; a figure that is not a number fails."""
    difference = abs(measured.value - case.expected)
    sigma = stderr = None
    if measured.stderr is None or measured.stderr == 0.0:
        size = abs(case.expected)
        tolerance = EXACT * size if size > 1 else min(EXACT, EXACT_RELATIVE * size) if size else EXACT
        passed = difference <= tolerance
    else:
        stderr = max(measured.stderr, _rare_events(case.expected, measured))
        sigma = difference / stderr
        passed = sigma <= ROW_SIGMA
    passed = passed and isfinite(measured.value)
    note = ""
    if measured.spent and (not isfinite(measured.value) or (stderr or 0.0) > INCONCLUSIVE * abs(case.expected) > 0):
        note, passed, sigma = f"inconclusive: {measured.spent}", False, None
    row = (case.expected, measured.value, stderr, measured.n, sigma, passed, note, measured.remark)
    return Row(case.id, case.table.name, case.given, *row)


def _rare_events(expected: float, measured: Measurement) -> float:
    """The error of a mean of n values within 0 and M, if it is what is expected: at most sqrt((M - mu) mu / n).

    (Bhatia and Davis, Am. Math. Monthly 107, 353 (2000).)  The spread of what was drawn does not know of events that
    were expected a few times and came not at all, such as heralds by dark counts.
    """
    if measured.largest is None or not measured.n:
        return 0.0
    return sqrt(max(0.0, (measured.largest - expected) * expected) / measured.n)


def chi2_survival(chi2: float, dof: int) -> float:
    """P(χ² of `dof` degrees of freedom > chi2), by finite sums (Abramowitz and Stegun 26.4.4 and 26.4.5)."""
    if dof == 0 or chi2 <= 0:
        return 1.0
    half = chi2 / 2
    if dof % 2 == 0:
        term = total = 1.0
        for i in range(1, dof // 2):
            term *= half / i
            total += term
        return min(1.0, exp(-half) * total)
    total = erfc(sqrt(half))
    term = sqrt(chi2) * exp(-half) * sqrt(2 / pi)
    for i in range(1, dof, 2):
        total += term
        term *= chi2 / (i + 2)
    return min(1.0, total)


def judge_table(rows: list[Row]) -> tuple[float, int, bool]:
    """(χ², degrees of freedom, passed) of a table's rows; exact rows count only by themselves."""
    sigmas = [row.sigma for row in rows if row.sigma is not None]
    chi2 = sum(s * s for s in sigmas)
    return (
        chi2,
        len(sigmas),
        chi2_survival(chi2, len(sigmas)) >= TABLE_CHANCE and all(row.passed for row in rows),
    )
