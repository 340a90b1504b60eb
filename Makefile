# The commands a newcomer types. Each does its own set-up (tools/setup), which is over at once when it has been done.

.PHONY: demo test check setup clean

# Six QPUs in two buildings, one circuit with one right answer. Leaves report.html, trace and logs in out/demo.
demo: setup
	.venv/bin/bellwire run testbed/scenarios/two-data-centres.yaml --out out/demo --force
	@echo "look at out/demo/report.html"

# The checks and the tests; ARGS go to pytest: make test ARGS='-k herald'.
test: setup
	@sh tools/test $(ARGS)

# ruff, mypy and import-linter alone.
check: setup
	@sh tools/check

setup:
	@sh tools/setup

# Everything these commands made, the environment too.
clean:
	rm -rf .venv .venv.lock out build dist bellwire.egg-info
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find protocols stack testbed tests -name __pycache__ -type d -prune -exec rm -rf {} +
