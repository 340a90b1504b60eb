"""Pure protocol logic: bytes, rules and state machines. No sockets, tasks, clock or numpy; time is an argument."""
