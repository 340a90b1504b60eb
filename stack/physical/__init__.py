"""The physical layer: the node's own devices, its qubits, and midpoint heralding.

``interface`` is what the link layer may use.  ``devices`` speaks on the device bus, ``memory`` keeps the handles,
``midpoint`` drives MHP at an end of a link and ``station`` at its middle.
"""
