"""The docs as a reader finds them: every link leads somewhere, every command that they name is one."""

import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from testbed.cli.commands import parser

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
_FENCED = re.compile(r"^```.*?^```", re.M | re.S)


def prose(page: Path) -> str:
    return _FENCED.sub("", page.read_text(encoding="utf-8"))


@cache
def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    heads = re.findall(r"^#+ +(.*)$", prose(page), re.M)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", head.replace("`", "")) for head in heads)
    return {re.sub(r"[^\w\- ]", "", head.strip().lower()).replace(" ", "-") for head in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}; there are {sorted(anchors(target))}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_line_is_one_that_the_command_line_takes(page):
    """Of lines in fences; SCENARIO and FILE stand for themselves."""
    for block in _FENCED.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(r"\s*(?:\$ )?(?:\.venv/bin/)?bellwire (.*)", line)
            if found is None:
                continue
            words = shlex.split(found[1].split(" #")[0].split(" > ")[0].split(" | ")[0].split(";")[0])
            if {"...", "[options]"} & set(words) or any(word.startswith("[") for word in words):
                continue
            assert taken(words), f"{page.name}: {line.strip()}"


def taken(words: list[str]) -> bool:
    try:
        parser().parse_args(words)
    except SystemExit as ended:
        return ended.code == 0  # --help, and what is like it
    return True
