"""The clocks' side of the lab: who may run how far, and when the run is over.

``agenda`` holds planned deaths and the rule of the end, ``local`` runs every node in this process, ``coordinator``
grants windows to node processes.  Both obey the same rules, so their runs are equal to the byte.
"""
