"""JOB, circuits over many QPUs: the messages beside their gates, and a controller's leases of QPUs.

`results` carries results of measurements to the QPUs that depend on them.  `controller` queues jobs and leases QPUs to
them, `book` is what it knows of them beyond its life, `qpu` is the other end of a lease; `states` has the tables of
both, `service` what passes to their neighbours in the stack.  job.toml has the requirements.
"""
