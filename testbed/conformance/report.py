"""How the kit's findings are shown: lines for people, JSON and JUnit for machines.

What may live here: form, no judgement.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from testbed.conformance.catalogue import order
from testbed.conformance.kit import Trial
from testbed.conformance.results import FAIL, INCONCLUSIVE, NOT_SUPPORTED, PASS, Result, Verdict

SCHEMA: Final = "bellwire.conformance/1"
_ORDER: Final = (PASS, FAIL, INCONCLUSIVE, NOT_SUPPORTED)
_SHOWN: Final = 24
"""Lines of evidence of a script that failed."""
_NAMED: Final = 12
"""Requirements that are named in a row."""


def lines(verdicts: Sequence[Verdict], results: Sequence[Result]) -> list[str]:
    """A table per protocol and level; then what failed, with its evidence."""
    shown = [f"{'protocol':9} {'level':6} " + " ".join(f"{verdict:>13}" for verdict in _ORDER)]
    rows: dict[tuple[str, str], Counter[str]] = {}
    for verdict in verdicts:
        key = (verdict.requirement.family, verdict.requirement.level)
        rows.setdefault(key, Counter())[verdict.verdict] += 1
    for (family, level), counts in rows.items():
        shown.append(f"{family:9} {level:6} " + " ".join(f"{counts[verdict] or '':>13}" for verdict in _ORDER))
    total = Counter(verdict.verdict for verdict in verdicts)
    shown.append(f"{'':16} " + " ".join(f"{total[verdict]:>13}" for verdict in _ORDER))
    shown += ["", *_summary(verdicts)]
    for verdict in verdicts:
        if verdict.verdict == FAIL:
            shown += ["", f"{verdict.requirement.id} {verdict.requirement.level}: {verdict.requirement.text}"]
            shown.append(f"  fails: {verdict.why}")
    for result in results:
        if result.verdict == FAIL:
            shown += ["", f"what {result.script} saw:"]
            shown += [f"  {line}" for line in result.evidence[-_SHOWN:]]
    return shown


def _summary(verdicts: Sequence[Verdict]) -> list[str]:
    """How many requirements there are, of which kind; and whether every MUST has been decided and met."""
    levels = Counter(verdict.requirement.level for verdict in verdicts)
    nothing = sum(verdict.requirement.decided == "none" for verdict in verdicts)
    musts = [v for v in verdicts if v.requirement.level == "MUST" and v.requirement.decided != "none"]
    failed = [verdict.requirement.id for verdict in musts if verdict.verdict == FAIL]
    open_ = [verdict.requirement.id for verdict in musts if verdict.verdict not in (PASS, FAIL)]
    counts = f"{levels['MUST']} MUST, {levels['SHOULD']} SHOULD, of which {nothing} can be decided by nothing"
    if not failed and not open_:
        return [counts, "every MUST decided and passed"]
    lines = [counts]
    if failed:
        lines.append(f"{len(failed)} MUST not met: {', '.join(failed)}")
    if open_:
        named = ", ".join(open_[:_NAMED]) + (" and others" if len(open_) > _NAMED else "")
        lines.append(f"{len(open_)} MUST not decided: {named}")
    return lines


def trial_lines(trials: Sequence[Trial]) -> list[str]:
    """A row per mutant: what it breaks, which it is, who caught it and by what."""
    trials = sorted(trials, key=lambda trial: order(trial.mutant.breaks))
    widths = [max(map(len, column)) for column in zip(*(_trial(t)[:3] for t in trials), strict=True)] if trials else []
    shown = []
    for trial in trials:
        *cells, why = _trial(trial)
        shown.append("  ".join([*(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)), why]))
    alive = sum(trial.caught_by is None for trial in trials)
    broken = len({trial.mutant.breaks for trial in trials})
    shown.append(f"{len(trials)} mutants of {broken} requirements, {len(trials) - alive} caught, {alive} not")
    return shown


def _trial(trial: Trial) -> tuple[str, str, str, str]:
    return trial.mutant.breaks, trial.mutant.name, trial.caught_by or "NOT CAUGHT", trial.why


def write_trials(path: Path, trials: Sequence[Trial]) -> None:
    """The same as JSON."""
    rows = [
        {
            "requirement": trial.mutant.breaks,
            "mutant": trial.mutant.name,
            "text": trial.mutant.text,
            "caught_by": trial.caught_by,
            "why": trial.why,
        }
        for trial in trials
    ]
    document = {"schema": SCHEMA, "mutants": rows}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def write_json(path: Path, target: str, verdicts: Sequence[Verdict], results: Sequence[Result]) -> None:
    document = {
        "schema": SCHEMA,
        "target": target,
        "requirements": [
            {
                "id": v.requirement.id,
                "level": v.requirement.level,
                "role": v.requirement.role,
                "text": v.requirement.text,
                "source": v.requirement.source,
                "decided_by": v.requirement.decided,
                "verdict": v.verdict,
                "why": v.why,
                "scripts": list(v.scripts),
            }
            for v in verdicts
        ],
        "scripts": [
            {
                "name": r.script,
                "decides": list(r.decides),
                "verdict": r.verdict,
                "why": r.why,
                "evidence": list(r.evidence),
            }
            for r in results
        ],
    }
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def write_junit(path: Path, target: str, verdicts: Sequence[Verdict]) -> None:
    """A test case per requirement; one that is not decided is skipped."""
    counts = Counter(verdict.verdict for verdict in verdicts)
    suite = ElementTree.Element(
        "testsuite",
        name=f"bellwire conformance {target}",
        tests=str(len(verdicts)),
        failures=str(counts[FAIL]),
        skipped=str(counts[INCONCLUSIVE] + counts[NOT_SUPPORTED]),
    )
    for verdict in verdicts:
        requirement = verdict.requirement
        case = ElementTree.SubElement(suite, "testcase", classname=requirement.family, name=requirement.id)
        if verdict.verdict == FAIL:
            ElementTree.SubElement(case, "failure", message=verdict.why).text = requirement.text
        elif verdict.verdict != PASS:
            ElementTree.SubElement(case, "skipped", message=f"{verdict.verdict}: {verdict.why}")
    ElementTree.ElementTree(suite).write(path, encoding="unicode", xml_declaration=True)
