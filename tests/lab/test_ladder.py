"""Message sequence charts: what a real run's first telegate looks like, and what a lost frame looks like."""

import re
from itertools import combinations
from math import cos, radians, sin
from pathlib import Path
from xml.etree import ElementTree

from engine_lab import local
from slice_lab import SCENARIOS

from stack.config import Faults
from stack.runtime.times import MS, NS, US
from testbed.circuits import compile_jobs
from testbed.lab.toy import toy_plan
from testbed.page import write_telegate
from testbed.palette import INK, SOFT
from testbed.plan.compose import compose
from testbed.scenario import load_scenario, with_options
from testbed.trace.ladder import chart, ladder
from testbed.trace.story import Arrow, Story, read_story


def test_the_first_telegate_of_a_run_in_its_order(tmp_path):
    scenario = with_options(load_scenario(SCENARIOS / "two-qpus.yaml"), shots=1)
    ran = local(compose(scenario, "local", compile_jobs(scenario)), tmp_path / "run")
    svg = ladder(ran.folder, ["west", "mid", "east"], 0, 5 * MS, "a & b")
    texts = [element.text or "" for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert texts[:4] == ["a & b", "west", "mid", "east"]
    steps = ["QNP Forward", "EGP Add", "EGP Train", "MHP Gen", "MHP Reply", "QNP Track", "RGP Cat", "RGP Uncat"]
    places = [next(i for i, text in enumerate(texts) if text.startswith(step)) for step in steps]
    assert places == sorted(places)
    assert not [text for text in texts if text.startswith("REL")], "bare acknowledgements are left out"
    assert [text for text in texts if text.startswith("physical: heralded")]
    assert "QNP" not in ladder(ran.folder, ["mid"], 0, 5 * MS, "nobody to talk to")


def test_no_words_lie_on_others(tmp_path):
    """Where a pair is there, both ends say much at once."""
    scenario = with_options(load_scenario(SCENARIOS / "two-qpus.yaml"), shots=1)
    ran = local(compose(scenario, "local", compile_jobs(scenario)), tmp_path / "run")
    story = read_story(ran.folder / "trace.pcapng", ran.folder / "events.jsonl", 5 * MS)
    svg = ElementTree.fromstring(chart(story, ["west", "east"], "two lanes", every_event=True))
    words = [text for text in svg.iter("{http://www.w3.org/2000/svg}text") if text.get("fill") not in (INK, SOFT)]
    assert len(words) > 20
    assert [text for text in words if text.get("transform")], "words along their arrows"
    over = [
        (one.text, other.text)
        for one, other in combinations(words, 2)
        if any(abs(xa - xb) < 4 and abs(ya - yb) < 9 for xa, ya in _points(one) for xb, yb in _points(other))
    ]
    assert not over
    width, height = (float(svg.get(key, "")) for key in ("width", "height"))
    assert all(0 < x < width and 0 < y < height for text in words for x, y in _points(text))


def test_the_telegate_of_the_readme_is_that_of_two_qpus(tmp_path):
    """However many shots there are, the first begins alike."""
    scenario = with_options(load_scenario(SCENARIOS / "two-qpus.yaml"), shots=1)
    ran = local(compose(scenario, "local", compile_jobs(scenario)), tmp_path / "run")
    write_telegate(scenario, ran.folder, tmp_path / "telegate.svg")
    shown = Path(__file__).parents[2] / "docs" / "telegate.svg"
    assert shown.read_text() == (tmp_path / "telegate.svg").read_text(), "copy that of a run of it there"


def _points(text):
    """Every few pixels along the foot of a text, turned as it is."""
    x, y, wide = float(text.get("x", "")), float(text.get("y", "")), 5 * len(text.text or "")
    left = x - (wide / 2 if text.get("text-anchor") == "middle" else 0)
    turn, about_x, about_y = (float(n) for n in re.findall(r"[-\d.]+", text.get("transform", "rotate(0 0 0)")))
    c, s = cos(radians(turn)), sin(radians(turn))
    for place in range(int(wide / 4) + 1):
        right, down = left + 4 * place - about_x, y - about_y
        yield about_x + c * right - s * down, about_y + s * right + c * down


def test_a_lost_frame_never_arrives(tmp_path):
    apps = {1: {"echo": {"destination": 2, "count": 20, "timeout_ps": US}}}
    ran = local(toy_plan(2, 10 * NS, apps, faults=Faults(loss=0.3)), tmp_path / "run")
    drawn = [step for step in read_story(ran.folder / "trace.pcapng").steps if isinstance(step, Arrow)]
    assert {a.received_ps is None for a in drawn} == {True, False}
    assert all(a.received_ps == a.sent_ps + 10 * NS for a in drawn if a.received_ps is not None)
    assert "stroke-dasharray" in ladder(ran.folder, ["n1", "n2"], 0, MS, "losses")


def test_a_chain_is_shown_in_the_order_of_its_fibre_and_what_is_none_as_it_comes():
    def story(nodes, *arms):
        return Story(nodes, tuple(Arrow(a, b, 0, 1, "MHP", "Gen", {}) for a, b in arms))

    chain = story(("a", "b", "c", "m1", "m2", "ctl"), ("c", "m1"), ("a", "m1"), ("m2", "b"), ("m2", "c"))
    assert chain.along().nodes == ("a", "m1", "c", "m2", "b", "ctl")
    star = story(("a", "b", "c", "hub"), ("a", "hub"), ("b", "hub"), ("c", "hub"))
    ring = story(("a", "b", "m1", "m2"), ("a", "m1"), ("b", "m1"), ("a", "m2"), ("b", "m2"))
    split = story(("a", "b", "c", "m1", "m2", "d"), ("a", "m1"), ("b", "m1"), ("c", "m2"), ("d", "m2"))
    for other in (star, ring, split, story(("a", "b"))):
        assert other.along() == other
