"""The lab: from a plan to running processes and back to a folder of results.

``sockets`` and ``children`` bring processes up and down; ``local`` and ``virtual`` run a plan, ``run`` is what the
command line calls.
"""
