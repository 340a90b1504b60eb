"""Streams cut into lines and parts: what was said comes out, wherever the bytes were torn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.streams import MOST, Lines, Parts, part

TORN = st.lists(st.integers(1, 5), min_size=1)


def torn(stream: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at, n = [], 0, 0
    while at < len(stream):
        size = sizes[n % len(sizes)]
        pieces.append(stream[at : at + size])
        at, n = at + size, n + 1
    return pieces


@given(st.lists(st.binary(max_size=8).map(lambda text: text.replace(b"\n", b"") + b"\n")), st.binary(max_size=3), TORN)
def test_lines(said: list[bytes], rest: bytes, sizes: list[int]) -> None:
    rest = rest.replace(b"\n", b"")
    lines, heard = Lines(), []
    for piece in torn(b"".join(said) + rest, sizes):
        lines.feed(piece)
        while lines.ready:
            heard.append(lines.next())
    assert heard == said
    assert lines.next() is None
    assert len(lines) == len(rest)


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=8))), TORN)
def test_parts(said: list[tuple[int, bytes]], sizes: list[int]) -> None:
    parts, heard = Parts(), []
    for piece in torn(b"".join(part(*one) for one in said), sizes):
        parts.feed(piece)
        while (one := parts.next()) is not None:
            heard.append(one)
    assert heard == said


def test_a_part_that_claims_too_much_is_refused_before_it_comes() -> None:
    parts = Parts()
    parts.feed((MOST + 1).to_bytes(4, "big") + b"\x01")
    with pytest.raises(ValueError, match="at most"):
        parts.next()
