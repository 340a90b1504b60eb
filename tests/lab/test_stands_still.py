"""A testbed that stands in virtual time: when that passes, and what is noticed though it does not.

Elsewhere: programs that keep the floor (test_hangups), inputs and their replay (test_replay).
"""

import threading
import time
from pathlib import Path

import pytest
import yaml
from command_lab import PATIENCE_S
from outside_lab import comes_again, eventually
from slice_lab import SCENARIOS

from stack.runtime.times import MOST_PAUSE
from stack.sdk import ChannelClosed, SessionEnded, connect
from testbed import Testbed

NEVER_ENDS = 10**5


class Pair:
    """Two programs with a channel between them, each of which waits for a word of the other."""

    def __init__(self, bed: Testbed, folder: Path) -> None:
        self.ends: dict[str, str] = {}
        self._bed, self._folder = bed, folder
        self._ready = threading.Semaphore(0)
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._west, self._east)]
        for thread in self._threads:
            thread.start()
        for _ in self._threads:  # which wait for nobody here: they have the floor
            assert self._ready.acquire(timeout=PATIENCE_S)

    def _west(self) -> None:
        try:
            with connect("west", testbed=self._bed.name, folder=self._folder) as qpu, qpu.open("east", 20) as east:
                self._ready.release()
                east.hear()
        except (ChannelClosed, SessionEnded) as error:
            self.ends["west"] = str(error)

    def _east(self) -> None:
        try:
            with connect("east", testbed=self._bed.name, folder=self._folder) as qpu:
                qpu.listen(20)
                west = qpu.accept(20)
                self._ready.release()
                west.hear()
        except (ChannelClosed, SessionEnded) as error:
            self.ends["east"] = str(error)

    def over(self) -> dict[str, str]:
        for thread in self._threads:
            thread.join(PATIENCE_S)
        return self.ends


@pytest.mark.parametrize("fault", ["kill", "partition"])
def test_two_that_wait_make_no_time_pass_and_hear_that_the_other_is_gone(fault: str, tmp_path: Path) -> None:
    """Though time has come to rest; and what was done is done again to the byte."""
    out = tmp_path / "out"
    with Testbed(SCENARIOS / "two-qpus.yaml", clock="virtual", out=out, folder=tmp_path) as bed:
        pair = Pair(bed, tmp_path)
        assert bed.ping("west", "east", 2, patience_s=60).pairs == 2, "nobody keeps the floor"
        time.sleep(0.5)  # for what would let it pass
        rests = bed.status().t_s
        assert rests < 1
        assert pair.ends == {}
        if fault == "kill":
            bed.kill("east")
        else:
            bed.fault("partition", None, "east")
        ends = pair.over()
        assert "PEER_LOST" in ends["west"]
        assert ("there no more" if fault == "kill" else "PEER_LOST") in ends["east"]
        assert bed.status().t_s < rests + 2 * MOST_PAUSE * 1e-12
    comes_again(out, tmp_path, "virtual", "local")


def test_what_is_planned_comes_when_time_gets_there(tmp_path: Path) -> None:
    """Nobody waits: a fault for a time lasts that much work, and what the scenario plans is for later."""
    out, scenario = tmp_path / "out", tmp_path / "scenario.yaml"
    text = yaml.safe_load((SCENARIOS / "two-qpus.yaml").read_text())
    del text["job"]
    scenario.write_text(yaml.safe_dump(text | {"faults": [{"at_s": 1.0, "kill": "mid"}]}))
    with Testbed(scenario, clock="virtual", out=out, folder=tmp_path) as bed:
        bed.fault("loss", 0.01)
        bed.fault("loss", 0.02, for_s=0.1)
        bed.fault("cut", None, "west-east", for_s=0.2)
        time.sleep(0.3)  # for time to pass, if it would
        assert [one.kind for one in bed.status().faults] == ["loss", "loss", "cut"]
        assert bed.ping("west", "east", 1, patience_s=0.5).pairs == 1, "who waits sees its end"
        time.sleep(0.3)
        status = bed.status()
        assert [(one.kind, one.value) for one in status.faults] == [("loss", 0.01)]
        assert status.nodes["mid"].state == "up"
        assert 0.2 < status.t_s < 1
        with bed.attach("west") as west:
            west.call("sleep", duration_ps=10**12)
        assert bed.ping("west", "east", 1, patience_s=0.1).pairs == 0
        assert bed.status().nodes["mid"].state == "killed"
    comes_again(out, tmp_path, "local")


def test_who_goes_from_one_session_to_another_is_no_reason_to_ask_after_peers(tmp_path: Path) -> None:
    with Testbed(SCENARIOS / "two-qpus.yaml", clock="virtual", out=tmp_path / "out", folder=tmp_path) as bed:
        pair = Pair(bed, tmp_path)
        with bed.attach("west") as west, bed.attach("east") as east:
            for _ in range(5):
                west.call("sleep", duration_ps=1)
                east.call("sleep", duration_ps=1)
        time.sleep(0.5)  # for what would let it pass
        assert bed.status().t_s < 1
        assert pair.ends == {}
        bed.kill("east")
        pair.over()


@pytest.mark.parametrize(("ends", "begins"), [("kill", "restart"), ("freeze", "thaw")])
def test_a_station_that_is_back_makes_pairs_at_once(ends: str, begins: str, tmp_path: Path) -> None:
    """Though it was given up: a refusal takes no time, so none of them would bring the end of a pause nearer."""
    out = tmp_path / "out"
    with Testbed(SCENARIOS / "two-qpus.yaml", clock="virtual", out=out, folder=tmp_path) as bed:
        assert bed.ping("west", "east", 1, patience_s=5).pairs == 1
        getattr(bed, ends)("mid")
        assert bed.ping("west", "east", 1, patience_s=5).why == "LINK_FAILED"
        assert bed.ping("west", "east", 1, patience_s=5).pairs == 0
        getattr(bed, begins)("mid")
        assert bed.ping("west", "east", 1, patience_s=5).pairs == 1
    comes_again(out, tmp_path, "local")


def test_a_controller_that_is_cut_off_costs_no_days_and_has_its_qpus_again_when_that_heals(tmp_path: Path) -> None:
    """What has no other end is asked for by both; time has none to spare for that."""
    bell = SCENARIOS / "bell-2.qasm"
    scenario = tmp_path / "scenario.yaml"
    text = yaml.safe_load((SCENARIOS / "controller.yaml").read_text())
    scenario.write_text(yaml.safe_dump({key: text[key] for key in text.keys() - {"jobs", "faults"}}))
    with Testbed(scenario, clock="virtual", out=tmp_path / "out", folder=tmp_path) as bed:
        for _ in range(3):
            began = bed.status().t_s
            job = bed.submit(bell, NEVER_ENDS).job
            eventually(lambda job=job: bed.job(job).state == "RUNNING")  # type: ignore[misc]
            bed.fault("partition", None, "ctl")
            eventually(lambda job=job: bed.job(job).state == "FAILED")  # type: ignore[misc]
            assert bed.status().t_s - began < 600
            bed.heal()
            assert bed.wait(bed.submit(bell, 3).job).state == "DONE"
