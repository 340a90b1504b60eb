"""Scripts for JOB: a QPU that tells and hears results of measurements."""

from protocols.wire import JobGivenUp, JobResult
from testbed.conformance.scene import DELAY_PS, MASTER
from testbed.conformance.scripts import decides
from testbed.conformance.stage import NotMet, Stage

_PASSED_PS = 4 * DELAY_PS
"""In which a message and its acknowledgement have passed."""


@decides("JOB-1", scene=MASTER)
async def a_result_is_kept_until_it_is_expected(stage: Stage) -> None:
    """It comes before it is expected; again, with another value; of another shot.  Expected, the first counts.
    When the shot is over nothing is kept."""
    peer = stage.peers[2]
    for result in (JobResult(5, 1, 1), JobResult(5, 1, 0), JobResult(6, 1, 0), JobResult(5, 2, 1)):
        peer.send(result)
    await stage.wait(_PASSED_PS)
    stage.user.order("hear", run=5, measurement=1, node=2)
    await stage.user.expect("result", run=5, measurement=1, value=1)
    stage.user.order("hear", run=6, measurement=1, node=2)
    await stage.user.expect("result", run=6, measurement=1, value=0)
    stage.user.order("end", run=5)
    stage.user.order("hear", run=5, measurement=2, node=2)
    await stage.user.silence("result", "no-result")
    peer.send(JobResult(5, 2, 0))
    peer.send(JobResult(5, 2, 1))
    await stage.user.expect("result", run=5, measurement=2, value=0)
    await stage.user.silence("result", "no-result")


@decides("JOB-1", scene=MASTER)
async def a_result_counts_for_its_node(stage: Stage) -> None:
    """Node 3 tells what is expected of node 2: not that."""
    stage.user.order("hear", run=5, measurement=1, node=2)
    stage.peers[3].send(JobResult(5, 1, 0))
    await stage.user.silence("result", "no-result")
    stage.peers[2].send(JobResult(5, 1, 1))
    await stage.user.expect("result", run=5, measurement=1, value=1)


@decides("JOB-2", scene=MASTER)
async def a_shot_that_is_given_up_is_told(stage: Stage) -> None:
    """To every node that may wait."""
    stage.user.order("give-up", run=8, nodes=[2, 3])
    for peer in stage.peers.values():
        await peer.expect(JobGivenUp, run=8)


@decides("JOB-2", scene=MASTER)
async def what_is_given_up_fails(stage: Stage) -> None:
    """What is expected of that node in that shot, and what will be; not what is expected in another."""
    for run in (8, 9):
        stage.user.order("hear", run=run, measurement=0, node=2)
    stage.peers[2].send(JobGivenUp(8))
    await stage.user.expect("no-result", run=8, measurement=0, lost=False)
    stage.user.order("hear", run=8, measurement=1, node=2)
    await stage.user.expect("no-result", run=8, measurement=1, lost=False)
    await stage.user.silence("no-result")
    stage.peers[2].send(JobResult(9, 0, 1))
    await stage.user.expect("result", run=9, value=1)


@decides("JOB-3", scene=MASTER)
async def a_lost_peer_tells_nothing_more(stage: Stage) -> None:
    """Node 2 restarts: what is expected of it fails; what is expected of node 3 does not."""
    peer = stage.peers[2]
    peer.send(JobResult(1, 0, 0))
    await stage.wait(_PASSED_PS)
    for node in (2, 3):
        stage.user.order("hear", run=7, measurement=node, node=node)
    await stage.wait(_PASSED_PS)
    peer.restart()
    peer.send(JobResult(2, 0, 0))
    told = await stage.user.expect("no-result", run=7, lost=True)
    if told["measurement"] != 2:
        raise NotMet("node 2 has restarted, and what is expected of node 3 fails")
    stage.peers[3].send(JobResult(7, 3, 1))
    await stage.user.expect("result", run=7, measurement=3, value=1)
