"""What is around every report.html: the scenario's name and words above, how to make the page again below.

What may live here: that frame.
"""

from collections.abc import Iterable
from html import escape

from testbed.page.style import head
from testbed.scenario import Scenario


def framed(scenario: Scenario, parts: Iterable[str]) -> str:
    """A whole page."""
    title = escape(scenario.name)
    lead = [f'<p class="lead">{escape(scenario.description)}</p>'] if scenario.description else []
    return "\n".join([
        head(title),
        f"<h1>{title}</h1>",
        *lead,
        *parts,
        f'<p class="small">seed {scenario.seed}; the same scenario and seed give this page again</p>',
        "</main>\n</body>\n</html>\n",
    ])  # fmt: skip
