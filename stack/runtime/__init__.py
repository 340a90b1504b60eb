"""What a node runs on, whatever the clock: time, events, frames, the device bus, sessions, processes."""
