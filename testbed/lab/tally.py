"""Counts of what a run's nodes have written down so far: by node, by link, by job.

What may live here: which record counts as what.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from stack.application.jobs import MOST_JOBS
from testbed.lab.tail import News
from testbed.trace.spool import SpoolEvent


class Tally:
    """``take`` says which topics have something new to say, and what."""

    def __init__(
        self, names: Mapping[int, str], links: Mapping[str, Mapping[str, Any]], shots: Mapping[int, int]
    ) -> None:
        """``names`` of nodes by number; ``links``: their numbers and ends by name; ``shots`` by job."""
        self._names = names
        self._links = {about["number"]: (name, about["a"]) for name, about in links.items()}
        self._shots = shots
        self._begun = dict.fromkeys(shots, 0)
        self._counted: dict[str, Counter[str]] = {}
        self._changed: set[str] = set()

    def take(self, news: News) -> dict[str, dict[str, int]]:
        """What counts have become, by topic, where they have changed."""
        for (number, way), count in news.frames.items():
            self._count(f"node/{self._names[number]}/counters", f"frames {way}", count)
        for number, event in news.events:
            name = self._names[number]
            self._count(f"node/{name}/counters", f"{event.layer} {event.name}", 1)
            self._of_link(name, event)
            self._of_job(event)
        topics, self._changed = sorted(self._changed), set()
        return {topic: dict(self._counted[topic]) for topic in topics}

    def _of_link(self, node: str, event: SpoolEvent) -> None:
        """Trains, as its first end has them, and pairs that its station has heralded."""
        link, first = self._links.get(event.fields.get("link"), ("", ""))
        if link and (event.name == "heralded" or (event.name == "train" and node == first)):
            self._count(f"link/{link}/counters", {"heralded": "pairs", "train": "trains"}[event.name], 1)

    def _of_job(self, event: SpoolEvent) -> None:
        """How many of its shots have come as far as a remote gate."""
        run = event.fields.get("job")
        if event.layer != "gates" or event.name != "asked" or not isinstance(run, int):
            return
        shot, job = divmod(run, MOST_JOBS)
        if shot + 1 > self._begun.get(job, shot + 1):
            self._begun[job] = shot + 1
            topic = f"job/{job}/progress"
            self._counted[topic] = Counter(begun=shot + 1, shots=self._shots[job])
            self._changed.add(topic)

    def _count(self, topic: str, what: str, count: int) -> None:
        self._counted.setdefault(topic, Counter())[what] += count
        self._changed.add(topic)


__all__ = ["Tally"]
