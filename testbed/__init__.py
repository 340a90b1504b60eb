"""The lab around the nodes: quantum plane, clocks, launcher, traces, validation."""
