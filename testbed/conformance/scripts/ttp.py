"""Scripts for TTP: the master's clock, and a node that follows its neighbour's, with a server that says what it wants.

What a client does with its clock it tells its devices (Steer), whose clock is the same.  So the script knows what the
client's clock shows, and can be ahead of it by as much as it likes.
"""

from typing import Final

from protocols.wire import DeviceSteer, TtpRequest, TtpResponse
from testbed.conformance.scene import CLOCKED, DELAY_PS, MASTER_CLOCK, MS, TIME_INTERVAL_PS
from testbed.conformance.scripts import decides
from testbed.conformance.stage import NotMet, Stage

US: Final = 1_000_000
RATE_UNIT: Final = 10**15
MOST_RATE: Final = RATE_UNIT // 100
HOLD: Final = 8
SERVER: Final = 1
OTHER: Final = 3


class _Client:
    """The implementation's clock, and exchanges with it."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._base = (0, 0, 0)  # from this true time on it shows that, and runs so much fast

    def shows(self, true_ps: int) -> int:
        since, shown, rate = self._base
        gone = true_ps - since
        return shown + gone + gone * rate // RATE_UNIT

    def steers(self) -> list[DeviceSteer]:
        """What has been done to it since the last call."""
        commands = self._stage.devices.commands
        found = [(at, command) for at, command in commands if isinstance(command, DeviceSteer)]
        commands.clear()
        for at, steer in found:
            self._base = (at, self.shows(at) + steer.step, steer.rate)
        return [steer for _, steer in found]

    async def asks(self) -> tuple[TtpRequest, int]:
        """Its next Request, and what its clock shows when that arrives."""
        peer = self._stage.peers[SERVER]
        peer.forget()
        seen = await peer.expect_seen(TtpRequest, 2 * TIME_INTERVAL_PS)
        self.steers()
        return seen.message, self.shows(seen.at)

    async def exchange(self, ahead_ps: int = 0, late_ps: int = 0) -> list[DeviceSteer]:
        """The server's clock is ahead by so much; its answer is late by so much on the way.  What comes of it."""
        request, shown = await self.asks()
        await self._stage.wait(late_ps)
        time = shown + ahead_ps
        self._stage.peers[SERVER].send(TtpResponse(request.sequence, 0, time, time))
        await self._stage.wait(DELAY_PS + 5 * MS)
        return self.steers()

    async def settled(self) -> None:
        """Set, and followed for as long as it takes."""
        await self.exchange(3_000 * MS)
        for _ in range(1 + HOLD):
            await self.exchange()


@decides("TTP-1", scene=MASTER_CLOCK)
async def a_request_is_answered_at_once(stage: Stage) -> None:
    """Its sequence, hops 0, when it came and when this leaves; asked again with the same number, it answers again."""
    peer = stage.peers[2]
    times = []
    for sequence in (7, 7, 0xFFFFFFFF):
        sent = stage.now
        peer.send(TtpRequest(sequence))
        seen = await peer.expect_seen(TtpResponse, sequence=sequence, hops=0)
        received, left = seen.message.received, seen.message.sent
        if not sent + DELAY_PS - 5 * MS <= received <= left <= seen.at - DELAY_PS + 5 * MS:
            raise NotMet(
                f"sent at {sent / MS:.1f} ms and answered at {seen.at / MS:.1f}, it says that the Request came at "
                f"{received / MS:.1f} and the Response left at {left / MS:.1f}"
            )
        times.append(received)
    if len(set(times)) < len(times):
        raise NotMet("a Request with the number of another is answered by that one's times")


@decides("TTP-2", scene=CLOCKED, emulated=True)
async def an_exchange_has_one_outcome(stage: Stage) -> None:
    """Of another node, of another number, with times that cannot be: nothing.  The right one counts, once."""
    client = _Client(stage)
    request, shown = await client.asks()
    sequence, server = request.sequence, stage.peers[SERVER]
    stage.peers[OTHER].send(TtpResponse(sequence, 0, shown, shown))
    for wrong in (
        TtpResponse(sequence - 1, 0, shown, shown),
        TtpResponse(sequence + 1, 0, shown, shown),
        TtpResponse(sequence, 0, shown, shown - 10 * MS),
        TtpResponse(sequence, 0, shown, shown + 500 * MS),
    ):
        server.send(wrong)
    await stage.wait(DELAY_PS + 5 * MS)
    if steers := client.steers():
        raise NotMet(f"the clock was steered by what is no answer: {steers}")
    server.send(TtpResponse(sequence, 0, shown + 700 * MS, shown + 700 * MS))
    server.send(TtpResponse(sequence, 0, shown + 700 * MS, shown + 700 * MS))
    await stage.wait(DELAY_PS + 5 * MS)
    if len(steers := client.steers()) != 1:
        raise NotMet(f"an exchange was answered twice, and the clock steered {len(steers)} times")


@decides("TTP-6", scene=CLOCKED, emulated=True)
async def a_clock_is_set_once_and_then_slewed(stage: Stage) -> None:
    """The first answer sets it; one that is far off sets it again; an offset below the delay is slewed, by 1 % at
    most."""
    client = _Client(stage)
    (first,) = await client.exchange(5_000 * MS)
    if abs(first.step - 5_000 * MS) > US:
        raise NotMet(f"a clock that was 5,000 ms behind was set forward by {first.step / MS:.3f} ms")
    await client.exchange()
    steers = await client.exchange(-400 * MS)
    if not any(abs(steer.step + 400 * MS) < MS for steer in steers):
        raise NotMet(f"an offset of -400 ms is answered by {steers}, not by a step")
    await client.exchange()
    steers = await client.exchange(50 * MS)
    if any(steer.step for steer in steers) or not any(0 < steer.rate <= MOST_RATE for steer in steers):
        raise NotMet(f"an offset of 50 ms, half of the delay, is answered by {steers}, not by slewing")


@decides("TTP-3", scene=CLOCKED, emulated=True)
async def a_slow_exchange_does_not_steer(stage: Stage) -> None:
    """An answer 20 ms late looks like an offset of 10 ms: not believed; the next quick one is."""
    client = _Client(stage)
    await client.settled()
    steers = await client.exchange(late_ps=20 * MS)
    if any(steer.step or abs(steer.rate) > RATE_UNIT // 10**6 for steer in steers):
        raise NotMet(f"an exchange that took 20 ms longer than others has steered the clock: {steers}")
    steers = await client.exchange(10 * US)
    if not any(steer.rate > 0 for steer in steers):
        raise NotMet("an exchange as quick as the quickest has not steered the clock")


@decides("TTP-4", scene=CLOCKED, emulated=True)
async def no_correction_is_made_twice(stage: Stage) -> None:
    """After an offset of 20 us the answers stay away: the clock goes on at a lesser rate, and then keeps that."""
    client = _Client(stage)
    await client.settled()
    steers = await client.exchange(20 * US)
    rate = steers[-1].rate if steers else 0
    if rate <= 0:
        raise NotMet(f"an offset of 20 us is answered by {steers}")
    await stage.wait(5 * TIME_INTERVAL_PS // 2)
    after = client.steers()
    if not after or after[-1].step or not abs(after[-1].rate) < rate:
        raise NotMet(f"without an answer the clock is left at a rate of {rate}: the offset is corrected twice")
    await stage.wait((HOLD + 2) * TIME_INTERVAL_PS)
    if any((steer.step, steer.rate) != (0, after[-1].rate) for steer in client.steers()):
        raise NotMet("without a server the clock does not keep its rate")


@decides("TTP-5", scene=CLOCKED, emulated=True)
async def who_is_not_settled_serves_nobody(stage: Stage) -> None:
    """Set, its rate known, and seven believed exchanges: no answer.  The eighth: answers; also when the server is
    silent for good."""
    client, peer = _Client(stage), stage.peers[OTHER]

    async def ask(sequence: int) -> None:
        peer.send(TtpRequest(sequence))
        await stage.wait(2 * DELAY_PS + 5 * MS)

    await ask(1)
    await client.exchange(3_000 * MS)
    await client.exchange()
    for number in range(HOLD - 1):
        await ask(2 + number)
        await client.exchange()
    await peer.silence(TtpResponse, during=0)
    await client.exchange()
    peer.send(TtpRequest(99))
    await peer.expect(TtpResponse, sequence=99, hops=1)
    await stage.wait((HOLD + 4) * TIME_INTERVAL_PS)
    peer.send(TtpRequest(100))
    await peer.expect(TtpResponse, sequence=100)
