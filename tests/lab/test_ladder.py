"""Message sequence charts: what a real run's first telegate looks like, and what a lost frame looks like."""

from xml.etree import ElementTree

from engine_lab import local
from slice_lab import SCENARIOS

from stack.config import Faults
from stack.runtime.times import MS, NS, US
from testbed.circuits import compile_jobs
from testbed.lab.compose import compose
from testbed.lab.toy import toy_plan
from testbed.scenario import load_scenario, with_options
from testbed.trace.ladder import ladder
from testbed.trace.story import Arrow, read_story


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


def test_a_lost_frame_never_arrives(tmp_path):
    apps = {1: {"echo": {"destination": 2, "count": 20, "timeout_ps": US}}}
    ran = local(toy_plan(2, 10 * NS, apps, faults=Faults(loss=0.3)), tmp_path / "run")
    drawn = [step for step in read_story(ran.folder / "trace.pcapng").steps if isinstance(step, Arrow)]
    assert {a.received_ps is None for a in drawn} == {True, False}
    assert all(a.received_ps == a.sent_ps + 10 * NS for a in drawn if a.received_ps is not None)
    assert "stroke-dasharray" in ladder(ran.folder, ["n1", "n2"], 0, MS, "losses")
