"""The lab: from a scenario to running processes and back to a folder of results.

``plan`` says what every node and the plane are told; ``sockets`` and ``children`` bring processes up and down;
``local``, ``virtual`` and ``paced`` run a plan under one clock each; ``run`` is what the command line calls.
"""
