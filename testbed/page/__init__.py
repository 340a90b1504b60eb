"""The page of a run, report.html: one file, readable without anything else, for people who want to see what happened.

In this order: `budget` follows every telegate through events.jsonl, `sketch` draws the network (`layout` says where its
nodes are put), `histogram` the outcomes, `html` puts the page together, `jobs` that of a controller's jobs, `findings`
that of a run without circuits; `telegate` draws one telegate from the trace.  Equal runs leave equal pages: nothing
here knows the wall clock, the machine or a folder's name.  Colours have names, which `testbed.palette` gives a meaning
by day and another by night.
"""

from testbed.page.findings import write_findings
from testbed.page.html import RunFacts, write_page
from testbed.page.jobs import write_jobs_page
from testbed.page.telegate import write_telegate

__all__ = ["RunFacts", "write_findings", "write_jobs_page", "write_page", "write_telegate"]
