"""JOB, circuits over many QPUs: the messages beside their gates.

`results` carries results of measurements to the QPUs that depend on them; job.toml has the requirements.
"""
