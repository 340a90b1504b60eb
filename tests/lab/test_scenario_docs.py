"""docs/scenarios.md against the reader: every key is explained, every example loads, every default is the default."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from testbed.scenario import Scenario, load_scenario
from testbed.scenario.schema import FORMS

PAGE = Path(__file__).parents[2] / "docs" / "scenarios.md"


class Part(NamedTuple):
    """What stands under one heading: the table's keys with their defaults, and the example."""

    defaults: dict[str, str]
    example: Any


class _Loader(yaml.SafeLoader):
    """YAML 1.2's floats: 1e-3 is a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9.]+[eE][-+]?[0-9]+"), list("-+0123456789.")
)


def plain(text: str) -> Any:
    return yaml.load(text, _Loader)


def parts() -> dict[str, Part]:
    """By the path in the heading; the whole file's is empty."""
    found = {}
    for chunk in re.split(r"^##+ ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        heading, _, body = chunk.partition("\n")
        rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", body, re.MULTILINE)
        (example,) = re.findall(r"^```yaml\n(.*?)^```", body, re.MULTILINE | re.DOTALL)
        found["" if heading == "The whole file" else heading.strip("`")] = Part(dict(rows), plain(example))
    return found


PARTS = parts()
GROUND = plain(re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)[0])


def load(folder: Path, document: dict[str, Any]) -> Scenario:
    for name in ("ghz-4.qasm", "my_program.py"):
        (folder / name).write_text("x\n")
    path = folder / "example.yaml"
    path.write_text(yaml.safe_dump(document))
    return load_scenario(path)


def with_example(path: str) -> dict[str, Any]:
    """The ground with an example's sections in place of its own, and no work but the example's."""
    ground = {key: value for key, value in GROUND.items() if key != "teleport"}
    return deepcopy(ground | PARTS[path].example)


def section(document: dict[str, Any], path: str) -> dict[str, Any]:
    """The first section of a document that stands at a path such as `links.NAME` or `faults[]`."""
    at: Any = document
    for step in re.findall(r"\w+|\[\]", path):
        at = at[0] if step == "[]" else next(iter(at.values())) if step == "NAME" else at[step]
    assert isinstance(at, dict)
    return at


def written_defaults() -> list[tuple[str, str, Any]]:
    """Path, key and value of every default that the page gives as a value."""
    found = []
    for path, part in PARTS.items():
        for key, text in part.defaults.items():
            literal = re.fullmatch(r"`(.+)`|(-?[\d.]+(?:e-?\d+)?|true|false)", text)
            # Names of other keys stand in words ("as `t1_s`"), so that what is a literal is a value.
            if literal:
                found.append((path, key, plain(literal[1] or literal[2])))
    return found


def test_every_section_and_key_is_on_the_page() -> None:
    assert {path: set(part.defaults) for path, part in PARTS.items()} == {
        path: set(form.keys) for path, form in FORMS.items()
    }


def test_the_ground_of_the_examples_loads(tmp_path: Path) -> None:
    assert load(tmp_path, GROUND).teleport is not None


@pytest.mark.parametrize("path", PARTS)
def test_an_example_loads_and_shows_its_section(path: str, tmp_path: Path) -> None:
    document = with_example(path)

    load(tmp_path, document)
    assert section(document, path)


@pytest.mark.parametrize(("path", "key", "value"), written_defaults())
def test_writing_a_default_changes_nothing(path: str, key: str, value: Any, tmp_path: Path) -> None:
    without, written = with_example(path), with_example(path)
    section(without, path).pop(key, None)
    section(written, path)[key] = value

    assert load(tmp_path, written) == load(tmp_path, without)


def test_defaults_are_found_on_the_page() -> None:
    """The test above is about most of the page, not about what a pattern happens to match."""
    assert {("", "linger_s", 1e-3), ("devices.NAME", "parallel", False), ("links.NAME", "kind", "quantum")} <= {
        (path, key, value) for path, key, value in written_defaults() if not isinstance(value, list)
    }
    assert len(written_defaults()) >= 40
