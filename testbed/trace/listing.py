"""A story as text: a line per step, or a message ladder with a column per node.

What may live here: how a step reads on a terminal.
"""

from collections.abc import Iterator

from testbed.trace.spans import time_text
from testbed.trace.story import Arrow, Step, Story, brief

_LANE = 12
_ALWAYS_SHORT = 60


def facts_text(step: Step) -> str:
    """The message's or event's facts: name=value."""
    return " ".join(f"{name}={_short(value)}" for name, value in step.facts.items())


def lines(story: Story) -> Iterator[str]:
    """One line per step: when, between whom, what, and behind it which ebits and pairs it is about."""
    width = max((len(name) for name in story.nodes), default=1)
    stamps = max((len(time_text(step.t_ps)) for step in story.steps), default=1)
    for step in story.steps:
        when = time_text(step.t_ps).rjust(stamps)
        if isinstance(step, Arrow):
            where = f"{step.source:>{width}} → {step.destination:<{width}}"
            yield f"{when}  {where}  {_flight(step):>10}  {_what(step)}"
        else:
            yield f"{when}  {step.node:>{width}} · {'':<{width}}  {'':>10}  {_what(step)}"


def ladder_lines(story: Story) -> Iterator[str]:
    """A lane per node, time downwards: arrows for frames, where they leave; stars for events."""
    nodes = list(story.nodes)
    lane = max([_LANE, *(len(name) + 2 for name in nodes)])
    stamps = max((len(time_text(step.t_ps)) for step in story.steps), default=1)
    yield " " * stamps + " " + "".join(name.center(lane) for name in nodes).rstrip()
    before = None
    for step in story.steps:
        row = list(("│".center(lane)) * len(nodes))
        centre = {name: i * lane + _middle(lane) for i, name in enumerate(nodes)}
        if isinstance(step, Arrow):
            _draw(row, step, centre)
        else:
            row[centre[step.node]] = "●"
        when = "" if step.t_ps == before else time_text(step.t_ps)
        before = step.t_ps
        yield f"{when:>{stamps}} {''.join(row)}  {brief(step).rstrip()}{_behind(step)}"


def _middle(lane: int) -> int:
    return "│".center(lane).index("│")


def _draw(row: list[str], arrow: Arrow, centre: dict[str, int]) -> None:
    """The arrow into a row of lanes; one that never arrives ends half way, with a cross."""
    start, end = centre.get(arrow.source), centre.get(arrow.destination)
    if start is None or end is None:  # one of them is no node of this testbed
        at = end if start is None else start
        if at is not None:
            row[at] = "◀" if start is None else "▷"
        return
    step = 1 if end > start else -1
    lost = arrow.received_ps is None
    stop = start + step * max(2, abs(end - start) // 2) if lost else end
    for at in range(start + step, stop, step):
        row[at] = "┼" if row[at] == "│" else "─"
    row[start] = "├" if step > 0 else "┤"
    row[stop - step if not lost else stop] = "✗" if lost else ("►" if step > 0 else "◄")


def _flight(arrow: Arrow) -> str:
    if arrow.received_ps is None:
        return "lost"
    return f"+{time_text(arrow.received_ps - arrow.sent_ps)}"


def _what(step: Step) -> str:
    head = f"{step.protocol} {step.kind}" if isinstance(step, Arrow) else f"{step.layer}: {step.kind}"
    return f"{head} {facts_text(step)}".rstrip() + _behind(step)


def _behind(step: Step) -> str:
    names = " ".join(step.about.names)
    note = f"  ({step.note})" if isinstance(step, Arrow) and step.note else ""
    return (f"  [{names}]" if names else "") + note


def _short(value: object) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    text = str(value)
    return text if len(text) <= _ALWAYS_SHORT else text[: _ALWAYS_SHORT - 1] + "…"


__all__ = ["facts_text", "ladder_lines", "lines"]
