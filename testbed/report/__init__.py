"""What a run comes to: the figures of report.json, and the lines that a person reads."""
