"""From a checked scenario to a plan: everything that a run needs to know before its first process starts.

`plan` is the record, `compose` makes it; `apps`, `circuits`, `clocks` and `ways` are what a node is told, by subject.
Nothing here starts or touches a process.
"""
