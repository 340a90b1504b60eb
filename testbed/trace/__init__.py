"""The run's trace: spools of the nodes merged into trace.pcapng and events.jsonl, and readers for both."""

from testbed.trace.merging import MergeResult, NodeIdentity, merge
from testbed.trace.reading import TracedFrame, read_events, read_trace

__all__ = ["MergeResult", "NodeIdentity", "TracedFrame", "merge", "read_events", "read_trace"]
