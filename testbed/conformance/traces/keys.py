"""Rules of KEY: sessions, and their blocks from the bases to the key.

What may live here: what a capture can show of them.  No outcome in Z and no key stands in a frame, so of hashes and of
what users are handed only the numbers show.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from protocols.key.amplification import key_length
from protocols.key.service import MOST_SESSIONS, Terms
from protocols.key.sifting import named
from protocols.wire import (
    EgpBasis,
    KeyAccept,
    KeyAsk,
    KeyBases,
    KeyClose,
    KeyCorrected,
    KeyEstimate,
    KeyGiveUp,
    KeyOpen,
    KeyParities,
    KeyProof,
    KeyRefuse,
    KeySeed,
    KeyTests,
    KeyVerified,
    KeyWhy,
)
from testbed.conformance.traces import Broken, Found, Shown, shows
from testbed.conformance.traces.frames import LATE_PS
from testbed.conformance.traces.trace import Said, Trace, reborn

_OF_BLOCKS: Final = (
    KeyBases, KeyTests, KeyEstimate, KeyAsk, KeyParities, KeyCorrected, KeySeed, KeyProof, KeyVerified, KeyGiveUp,
)  # fmt: skip
_OF_OPENER: Final = (KeyBases, KeyEstimate, KeyParities, KeySeed, KeyProof, KeyGiveUp)
_REASONS: Final = {
    True: {KeyWhy.NOISY, KeyWhy.SHORT, KeyWhy.COSTLY, KeyWhy.MALFORMED},
    False: {KeyWhy.COSTLY, KeyWhy.UNLIKE, KeyWhy.MALFORMED, KeyWhy.FULL},
}
"""Why an opener gives a block up, and why a responder does."""


class _Block(NamedTuple):
    """What both ends say of one block of a session that the trace has from its Open on."""

    opening: Said
    said: list[Said]

    @property
    def opener(self) -> int:
        return self.opening.source

    @property
    def responder(self) -> int:
        return self.opening.destination

    def of(self, kind: type, node: int | None = None) -> list[Said]:
        """What was said of a kind, by this node or by whoever it is."""
        return [one for one in self.said if isinstance(one.message, kind) and node in (None, one.source)]

    def row(self, node: int) -> tuple[int, bytes, list[Said]] | None:
        """First pair id, row and messages of an end's Bases, if they are whole."""
        parts = self.of(KeyBases, node)
        if not parts or parts[-1].message.more or any(not part.message.more for part in parts[:-1]):
            return None
        return parts[0].message.first, b"".join(part.message.row for part in parts), parts

    def alike(self) -> tuple[int, int] | None:
        """How many pairs both ends have measured in Z, and in X, if both have said so."""
        mine, theirs = self.row(self.opener), self.row(self.responder)
        if mine is None or theirs is None:
            return None
        one, other = named(mine[1], mine[0]), named(theirs[1], theirs[0])
        both = [basis for pair_id, basis in one.items() if other.get(pair_id) is basis]
        return both.count(EgpBasis.Z), both.count(EgpBasis.X)

    def secret(self, leak: int) -> int | None:
        """Bits that are secret after so many were said to correct the others, by the opener's Estimate."""
        found, terms = self.of(KeyEstimate), self.opening.message
        if not found:
            return None
        estimate = found[0].message
        figures = estimate.sifted, estimate.tested, estimate.errors
        return key_length(*figures, leak, terms.secrecy, terms.correctness)

    def leaks(self, kind: type) -> Iterator[tuple[Said, int]]:
        """Each Ask, or each Parities, and how many bits have been asked for, or told, with it."""
        asked: set[tuple[int, int]] = set()
        estimates = self.of(KeyEstimate)
        size = estimates[0].message.sifted if estimates else 0
        questions = self.of(KeyAsk)
        for ask, one in zip(questions, self.of(kind), strict=False):
            asked |= {(0 if q.place == size else q.order, q.place) for q in ask.message.questions}
            yield one, len(asked)


def _blocks(trace: Trace) -> Iterator[_Block]:
    """Blocks of sessions in their order, by session and number."""
    opened: dict[tuple[int, int, int], Said] = {}
    found: dict[tuple[int, int], _Block] = {}
    for said in trace.of(KeyOpen, *_OF_BLOCKS):
        message = said.message
        if isinstance(message, KeyOpen):
            if message.opener == said.source and _terms(said).make_sense():
                opened[said.source, said.destination, message.session] = said
            continue
        ends = (said.source, said.destination)
        other = ends[1] if message.opener == ends[0] else ends[0]
        opening = opened.get((message.opener, other, message.session))
        if opening is not None and not reborn(trace, opening):
            found.setdefault((opening.number, message.block), _Block(opening, [])).said.append(said)
    yield from found.values()


def _terms(said: Said) -> Terms:
    opening = said.message
    return Terms(opening.block_pairs, opening.x_chance, opening.key_bits, opening.secrecy, opening.correctness)


def _numbers(*said: Said) -> tuple[int, ...]:
    return tuple(sorted(one.number for one in said))


def _due(trace: Trace, heard: Said) -> bool:
    return heard.heard_ps is not None and heard.heard_ps + LATE_PS < trace.end_ps


@shows("KEY-1")
def an_open_is_answered(trace: Trace) -> Found:
    """By Accept or Refuse; not by Accept if its terms make no sense or it is another node's session."""
    names: set[tuple[int, int, int, int]] = set()
    for said in trace.of(KeyOpen):
        opening = said.message
        fields = {"opener": opening.opener, "session": opening.session}
        answers = list(trace.answers(said, KeyAccept, KeyRefuse, **fields))
        name = (said.source, said.life, said.destination, opening.session)
        again, fits = name in names, _terms(said).make_sense() and 0 < opening.session <= MOST_SESSIONS
        names.add(name)
        if opening.opener != said.source or again:
            if opening.opener != said.source and any(isinstance(one.message, KeyAccept) for one in answers):
                why = f"it accepts a session of node {opening.opener} that node {said.source} opens"
                yield Broken(said.destination, why, _numbers(said, answers[0]))
        elif answers and not fits and isinstance(answers[0].message, KeyAccept):
            why = f"it accepts terms that make no sense: {opening}"
            yield Broken(said.destination, why, _numbers(said, answers[0]))
        elif answers:
            yield Shown(said.destination, _numbers(said, answers[0]))
        elif _due(trace, said) and not reborn(trace, said):
            yield Broken(said.destination, "an Open has no answer", (said.number,))


@shows("KEY-2")
def bases_are_said_of_whole_blocks(trace: Trace) -> Found:
    """The opener's of as many pairs as its terms say, none of them of another block; the responder's, after those, of
    the same pair ids."""
    used: dict[tuple[int, int], Said] = {}
    for block in _blocks(trace):
        mine, theirs = block.row(block.opener), block.row(block.responder)
        if mine is None:
            early = block.of(KeyBases, block.responder)
            if early and not block.of(KeyBases, block.opener):
                yield Broken(block.responder, "it says its bases first", _numbers(early[0]))
            continue
        first, row, parts = mine
        pairs = named(row, first)
        before = [used[block.opening.number, pair] for pair in pairs if (block.opening.number, pair) in used]
        used |= {(block.opening.number, pair): parts[0] for pair in pairs}
        if before:
            yield Broken(block.opener, "a pair is in two blocks", _numbers(before[0], parts[0]))
        elif len(pairs) < block.opening.message.block_pairs:
            why = f"it says bases of {len(pairs)} pairs; a block has {block.opening.message.block_pairs}"
            yield Broken(block.opener, why, _numbers(*parts))
        else:
            yield Shown(block.opener, _numbers(*parts))
        if theirs is None:
            continue
        if parts[-1].heard_ps is not None and not parts[-1].before(theirs[2][0]):
            yield Broken(block.responder, "it says its bases before it has heard the other's", _numbers(theirs[2][0]))
        elif (theirs[0], len(theirs[1])) != (first, len(row)) or not named(theirs[1], first).keys() <= pairs.keys():
            yield Broken(block.responder, "its row is of other pair ids", _numbers(parts[0], theirs[2][0]))
        else:
            yield Shown(block.responder, _numbers(parts[0], theirs[2][0]))


@shows("KEY-3")
def what_both_have_in_x_is_tested(trace: Trace) -> Found:
    """As many outcomes in Tests, and pairs in Estimate, as both rows have alike; an Estimate leaves something."""
    for block in _blocks(trace):
        alike, tests = block.alike(), block.of(KeyTests)
        if alike is None or not tests:
            continue
        in_z, in_x = alike
        whole = sum(len(one.message.bits) for one in tests)
        if not tests[-1].message.more and whole != -(-in_x // 8):
            why = f"Tests has {whole} bytes of {in_x} pairs that both have measured in X"
            yield Broken(block.responder, why, _numbers(*tests))
            continue
        yield Shown(block.responder, _numbers(*tests))
        for said in block.of(KeyEstimate, block.opener):
            estimate = said.message
            if (estimate.sifted, estimate.tested) != alike:
                why = f"{estimate} of {in_z} pairs in Z and {in_x} in X"
                yield Broken(block.opener, why, _numbers(*tests, said))
            elif not block.secret(0):
                yield Broken(block.opener, "it says Estimate, and nothing would be secret", (said.number,))
            else:
                yield Shown(block.opener, _numbers(tests[-1], said))


@shows("KEY-4")
def what_leaks_is_counted(trace: Trace) -> Found:
    """An Ask and Parities leave something secret; Parities has a bit for each question; Corrected counts them."""
    for block in _blocks(trace):
        budget = block.secret(0)
        if budget is None:
            continue
        for kind, node in ((KeyAsk, block.responder), (KeyParities, block.opener)):
            for said, leak in block.leaks(kind):
                if leak > budget:
                    yield Broken(node, f"{leak} bits leak, and {budget} are secret", (said.number,))
                else:
                    yield Shown(node, (said.number,))
        asks, told = block.of(KeyAsk, block.responder), block.of(KeyParities, block.opener)
        for ask, said in zip(asks, told, strict=False):
            if len(said.message.bits) != -(-len(ask.message.questions) // 8):
                why = f"{len(said.message.bits)} bytes answer {len(ask.message.questions)} questions"
                yield Broken(block.opener, why, _numbers(ask, said))
        leaks = [leak for _, leak in block.leaks(KeyParities)]
        for said in block.of(KeyCorrected, block.responder):
            had = leaks[-1] if leaks else 0
            if said.message.asked != had:
                why = f"it says that it has asked {said.message.asked} parities, and was told {had}"
                yield Broken(block.responder, why, (said.number,))


@shows("KEY-6")
def keys_are_no_longer_than_what_is_secret(trace: Trace) -> Found:
    """The length of Proof; a longer one is not verified.  Keys are as many as the lengths of verified blocks make."""
    lengths: dict[int, int] = {}
    for block in _blocks(trace):
        leaks = [leak for _, leak in block.leaks(KeyParities)]
        most = block.secret(leaks[-1] if leaks else 0)
        verified = block.of(KeyVerified, block.responder)
        for said in block.of(KeyProof, block.opener) if most is not None else ():
            too_long = said.message.length > most
            if too_long:
                why = f"a key of {said.message.length} bits, of which {most} are secret"
                yield Broken(block.opener, why, (said.number,))
            else:
                yield Shown(block.opener, (said.number,))
            if verified and too_long:
                yield Broken(block.responder, f"it verifies {said.message}", _numbers(said, verified[0]))
            elif verified:
                whole = lengths[block.opening.number] = lengths.get(block.opening.number, 0) + said.message.length
                made = whole // block.opening.message.key_bits
                if verified[0].message.keys != made:
                    why = f"{verified[0].message}, of {whole} bits"
                    yield Broken(block.responder, why, (verified[0].number,))
                else:
                    yield Shown(block.responder, _numbers(said, verified[0]))


@shows("KEY-8")
def no_more_keys_are_handed_out_than_were_verified(trace: Trace) -> Found:
    """An opener's Close says how many it has handed out."""
    verified: dict[int, int] = {}
    opened: dict[tuple[int, int, int], Said] = {}
    for said in trace.of(KeyOpen, KeyVerified, KeyClose):
        message = said.message
        if isinstance(message, KeyOpen):
            opened[said.source, said.destination, message.session] = said
        elif isinstance(message, KeyVerified):
            opening = opened.get((said.destination, said.source, message.session))
            if opening is not None:
                verified[opening.number] = max(verified.get(opening.number, 0), message.keys)
        elif message.opener == said.source:
            opening = opened.pop((said.source, said.destination, message.session), None)
            if opening is None or reborn(trace, opening):
                continue
            had = verified.get(opening.number, 0)
            if message.handed_out > had:
                why = f"it has handed out {message.handed_out} keys, and {had} were verified"
                yield Broken(said.source, why, (said.number,))
            else:
                yield Shown(said.source, (said.number,))


@shows("KEY-10")
def a_block_that_is_given_up_is_over(trace: Trace) -> Found:
    """For a reason that this end can have; and who gives it up says no more of it."""
    for block in _blocks(trace):
        for said in block.of(KeyGiveUp):
            opens = said.source == block.opener
            later = [one for one in block.said if one.source == said.source and one.number > said.number]
            if said.message.why not in _REASONS[opens]:
                who = "an opener" if opens else "a responder"
                why = f"{who} gives a block up with {KeyWhy(said.message.why).name}"
                yield Broken(said.source, why, (said.number,))
            elif later:
                why = f"it has given the block up, and says {type(later[0].message).__name__} of it"
                yield Broken(said.source, why, _numbers(said, later[0]))
            else:
                yield Shown(said.source, (said.number,))


@shows("KEY-11")
def what_a_new_life_says_of_an_old_session_is_answered(trace: Trace) -> Found:
    """By Close, with PEER_LOST: whoever starts anew has opened no session yet."""
    for said in trace.of(*_OF_OPENER):
        message = said.message
        born = [t_ps for t_ps in trace.births.get(said.source, ()) if t_ps <= said.t_ps]
        if message.opener != said.source or not born:
            continue
        opened = [
            one
            for one in trace.of(KeyOpen)
            if (one.source, one.destination, one.message.session) == (*_ends(said), message.session)
            and max(born) <= one.t_ps <= said.t_ps
        ]
        if opened:
            continue
        fields = {"opener": message.opener, "session": message.session, "why": KeyWhy.PEER_LOST}
        answer = next(trace.answers(said, KeyClose, **fields), None)
        if answer is not None:
            yield Shown(said.destination, _numbers(said, answer))
        elif _due(trace, said) and not any(t_ps >= said.t_ps for t_ps in trace.births.get(said.destination, ())):
            why = f"{message} of a session that it cannot serve is not answered"
            yield Broken(said.destination, why, (said.number,))


def _ends(said: Said) -> tuple[int, int]:
    return said.source, said.destination
