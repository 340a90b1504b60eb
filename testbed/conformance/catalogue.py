"""The catalogue: every numbered requirement of every protocol, as it stands beside the protocol's code.

What may live here: reading and checking `protocols/**/*.toml`.
"""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import protocols

LEVELS: Final = ("MUST", "SHOULD")
DECIDED: Final = ("socket", "trace", "none")


class Requirement(NamedTuple):
    """One line of the catalogue.  An id is never used again for something else."""

    id: str
    level: str
    role: str
    text: str
    source: str
    decided: str
    """How a verdict is come to: by a scripted peer over a `socket`, from a `trace`, or by `none` (see `reason`)."""
    reason: str

    @property
    def family(self) -> str:
        return self.id.partition("-")[0]


class CatalogueError(Exception):
    """The catalogue contradicts itself."""


def load(root: Path | None = None) -> dict[str, Requirement]:
    """All requirements by id, in the order of protocols and numbers; raises CatalogueError."""
    where = Path(next(iter(protocols.__path__))) if root is None else root
    found: dict[str, Requirement] = {}
    for path in sorted(where.rglob("*.toml")):
        for row in tomllib.loads(path.read_text()).get("requirement", ()):
            requirement = _requirement(path, row)
            if requirement.id in found:
                raise CatalogueError(f"{path.name}: {requirement.id} stands twice")
            found[requirement.id] = requirement
    return dict(sorted(found.items(), key=lambda item: order(item[0])))


def _requirement(path: Path, row: dict[str, str]) -> Requirement:
    decided = row.get("decided", "socket")
    try:
        requirement = Requirement(
            row["id"], row["level"], row["role"], row["text"], row["source"], decided, row.get("reason", "")
        )
    except KeyError as missing:
        raise CatalogueError(f"{path.name}: {row.get('id', '?')} has no {missing}") from None
    if requirement.level not in LEVELS:
        raise CatalogueError(f"{path.name}: {requirement.id} is neither MUST nor SHOULD")
    if decided not in DECIDED or (decided == "none") != bool(requirement.reason):
        raise CatalogueError(f"{path.name}: {requirement.id}: decided by {decided}, with a reason if by none")
    return requirement


class Decider(Protocol):
    """A script, or a rule for traces."""

    @property
    def decides(self) -> tuple[str, ...]: ...


def gaps(requirements: Iterable[Requirement], deciders: Iterable[Decider]) -> list[str]:
    """Every MUST that can be decided and that none of these decides."""
    decided = {name for decider in deciders for name in decider.decides}
    return [r.id for r in requirements if r.level == "MUST" and r.decided != "none" and r.id not in decided]


def order(name: str) -> tuple[str, int]:
    """By which ids are sorted: family, then number."""
    family, _, number = name.partition("-")
    return family, int(number)
