"""Rules of the frame, and of ECHO and TTP, whose messages travel bare."""

from collections import Counter

from protocols.wire import EchoPing, EchoPong, LsrHello, TtpRequest, TtpResponse
from protocols.wire.frame import verify
from testbed.conformance.traces import Broken, Found, Shown, shows
from testbed.conformance.traces.trace import Frame, Said, Trace, newer

LATE_PS = 1_000_000_000_000
"""What was heard so shortly before the end of a trace need not have been answered in it."""


@shows("FRM-8")
def sequences_rise(trace: Trace) -> Found:
    """Of a node in one life, whomever its frames go to."""
    last: dict[tuple[int, int], Frame] = {}
    for frame in trace.sent:
        header = frame.header
        before = last.get((header.source, header.incarnation))
        if frame.received is None and before is not None and before.raw == frame.raw:
            continue  # a live capture may see a frame at two interfaces
        if before is not None:
            numbers = (before.number, frame.number)
            if header.sequence <= before.header.sequence:
                why = f"sequence {header.sequence} follows {before.header.sequence}"
                yield Broken(header.source, why, numbers)
            else:
                yield Shown(header.source, numbers)
        last[header.source, header.incarnation] = frame


@shows("FRM-7")
def reserved_bits_are_zero(trace: Trace) -> Found:
    """Flags, and whatever a message reserves: read and written again it has the same bytes."""
    for frame in trace.sent:
        if frame.header.flags:
            yield Broken(frame.header.source, f"the header has flags {frame.header.flags:#x}", (frame.number,))
        elif frame.message is not None:
            if frame.message.pack() != frame.raw[32:]:
                yield Broken(frame.header.source, "reserved bits of the body are set", (frame.number,))
            else:
                yield Shown(frame.header.source, (frame.number,))


@shows("FRM-2")
def tags_are_right_or_the_frame_is_dropped(trace: Trace) -> Found:
    """Where keys are known.  Only a receiver that drops a damaged frame shows that it looks."""
    for frame in trace.frames:
        key = trace.key(frame.header.source, frame.header.destination)
        if key is None:
            continue
        right = verify(frame.raw, key)
        if not frame.received and not right:
            yield Broken(frame.header.source, "its tag is not the one of this key", (frame.number,))
        elif frame.received and not right:
            if frame.dropped:
                yield Shown(frame.header.destination, (frame.number,))
            else:
                yield Broken(frame.header.destination, "a frame with a wrong tag is accepted", (frame.number,))


@shows("FRM-3")
def a_frame_is_taken_once(trace: Trace) -> Found:
    """What comes again, as the channel may make it, is dropped."""
    seen: dict[tuple[int, int, int, int], Frame] = {}
    for frame in trace.frames:
        if not frame.received:
            continue
        header = frame.header
        name = (header.destination, header.source, header.incarnation, header.sequence)
        before = seen.get(name)
        if before is not None and before.raw == frame.raw:
            numbers = (before.number, frame.number)
            if frame.dropped:
                yield Shown(header.destination, numbers)
            else:
                yield Broken(header.destination, "a frame is accepted twice", numbers)
        elif not frame.dropped:
            seen[name] = frame


@shows("FRM-4")
def the_former_life_is_over(trace: Trace) -> Found:
    """After a frame of a newer incarnation of its source, those of the older are dropped."""
    newest: dict[tuple[int, int], Frame] = {}
    for frame in trace.frames:
        if not frame.received:
            continue
        header = frame.header
        pair = (header.destination, header.source)
        before = newest.get(pair)
        if before is not None and newer(before.header.incarnation, header.incarnation, 16):
            numbers = (before.number, frame.number)
            if frame.dropped:
                yield Shown(header.destination, numbers)
            else:
                yield Broken(header.destination, "a frame of an earlier life is accepted", numbers)
        elif not frame.dropped and (
            before is None or newer(header.incarnation, before.header.incarnation, 16)
        ):
            if before is not None:
                yield Shown(header.destination, (before.number, frame.number))
            newest[pair] = frame


@shows("FRM-6")
def what_is_no_message_is_dropped(trace: Trace) -> Found:
    """A body that the codec does not read."""
    for frame in trace.frames:
        if frame.received and frame.message is None:
            if frame.dropped:
                yield Shown(frame.header.destination, (frame.number,))
            else:
                yield Broken(frame.header.destination, "what is no message is accepted", (frame.number,))


def _due(trace: Trace, asked: Said) -> bool:
    """Was there time to answer before the trace ends?"""
    return asked.heard_ps is not None and asked.heard_ps + LATE_PS < trace.end_ps


@shows("ECHO-1")
def a_ping_has_one_pong(trace: Trace) -> Found:
    """With its token and padding, and one hop more."""
    pongs = trace.of(EchoPong)
    used: Counter[int] = Counter()
    for ping in [one for one in trace.of(EchoPing) if not one.carried]:
        wanted = EchoPong(ping.message.token, (ping.message.hops + 1) % 65536, ping.message.padding)
        answers = trace.answers(ping, EchoPong, token=wanted.token)
        answer = next((one for one in answers if not used[one.number]), None)
        if answer is None:
            if _due(trace, ping):
                yield Broken(ping.destination, f"the ping of token {wanted.token} has no pong", (ping.number,))
            continue
        used[answer.number] += 1
        numbers = (ping.number, answer.number)
        if answer.message != wanted:
            yield Broken(ping.destination, f"{answer.message} answers {ping.message}", numbers)
        else:
            yield Shown(ping.destination, numbers)
    for pong in pongs:
        same = trace.by(EchoPing, "token").get((pong.message.token,), ())
        asked = any(ping.before(pong) for ping in same)
        if not used[pong.number] and (trace.directed or not asked):
            yield Broken(pong.source, f"{pong.message} answers nothing", (pong.number,))


@shows("ECHO-3")
def a_ping_is_sent_again_as_it_was(trace: Trace) -> Found:
    """The same token within one exchange: the same hops and padding."""
    open_: dict[tuple[int, int, int], Said] = {}
    for said in trace.of(EchoPing, EchoPong):
        if isinstance(said.message, EchoPong):
            open_.pop((said.destination, said.source, said.message.token), None)
            continue
        name = (said.source, said.destination, said.message.token)
        before = open_.setdefault(name, said)
        if before is not said:
            numbers = (before.number, said.number)
            if before.message == said.message:
                yield Shown(said.source, numbers)
            else:
                yield Broken(said.source, f"{before.message} is sent again as {said.message}", numbers)


@shows("TTP-1")
def a_response_fits_its_request(trace: Trace) -> Found:
    """It has the sequence of a Request that was heard, and its times are in order."""
    for said in trace.of(TtpResponse):
        response = said.message
        asked = [
            one
            for one in trace.by(TtpRequest, "sequence", ".source").get((response.sequence, said.destination), ())
            if one.destination == said.source and one.before(said)
        ]
        if not asked:
            yield Broken(said.source, f"{response} answers nothing", (said.number,))
        else:
            yield Shown(said.source, (asked[-1].number, said.number))


@shows("LSR-3")
def a_hello_that_asks_is_answered(trace: Trace) -> Found:
    """By a Hello, at once."""
    for said in trace.of(LsrHello):
        if not said.message.answer:
            continue
        answer = next(trace.answers(said, LsrHello), None)
        if answer is not None and answer.t_ps - (said.heard_ps or 0) < LATE_PS:
            yield Shown(said.destination, (said.number, answer.number))
        elif _due(trace, said):
            yield Broken(said.destination, "a Hello that asks for an answer has none", (said.number,))
