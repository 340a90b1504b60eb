"""What set-up installs: declared dependencies, pins, imports in the code and the page on them agree."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RUN_TIME = [Requirement(line) for line in PROJECT["dependencies"]]
DEVELOPMENT = [Requirement(line) for line in PROJECT["optional-dependencies"]["dev"]]
OURS = ("protocols", "stack", "testbed")


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def everything_below(requirements: list[Requirement]) -> dict[str, str]:
    """What is installed for these requirements, theirs included: name → version."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(requirement, extra) for requirement in requirements for extra in ("", *requirement.extras)]
    while todo:
        requirement, extra = todo.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        installed = distribution(requirement.name)
        found[name] = installed.version
        for line in installed.requires or []:
            below = Requirement(line)
            if below.marker is None or below.marker.evaluate({"extra": extra}):
                todo.extend((below, of_its) for of_its in ("", *below.extras))
    return found


def third_party_imports() -> Iterator[tuple[str, Path]]:
    for room in OURS:
        for file in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                names: list[str] = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    names = [node.module]
                for name in names:
                    top = name.partition(".")[0]
                    if top not in sys.stdlib_module_names and top not in OURS:
                        yield top, file


def test_constraints_are_plain_name_and_version_lines() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][0-9A-Za-z.]*", line), line


def test_everything_that_gets_installed_is_pinned_and_nothing_else_is() -> None:
    wanted = RUN_TIME + DEVELOPMENT
    here = [line for line in wanted if line.marker is None or line.marker.evaluate()]
    elsewhere = {canonicalize_name(line.name) for line in wanted if line not in here}
    assert everything_below(here) == {name: pin for name, pin in pins().items() if name not in elsewhere}


def test_each_import_belongs_to_a_declared_dependency() -> None:
    declared = {canonicalize_name(requirement.name) for requirement in RUN_TIME}
    owners = packages_distributions()
    for top, file in third_party_imports():
        if (top, file.name) == ("pytest", "pytest_plugin.py"):
            continue  # pytest itself loads this file, and nothing else does
        distributions = {canonicalize_name(name) for name in owners.get(top, [top])}
        assert distributions & declared, f"{file}: imports {top}, which pyproject.toml does not name"


def test_each_dependency_has_its_reason() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text()
    for requirement in RUN_TIME + DEVELOPMENT:
        assert f"| `{requirement.name}`" in page, requirement.name
