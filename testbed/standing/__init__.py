"""Testbeds that stay: a network that is up until somebody ends it.

`testbed` is what programs and notebooks hold, `places` where testbeds are found, `keeper` the process of one, `service`
what it does on command; `jobs` a caller's end of a controller.  The run under it is ``testbed.lab``.
"""
