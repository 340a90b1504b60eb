"""`run --replay DIR`: the run that left DIR, once more.

What may live here: reading what such a folder says about its own making.
"""

import json
from dataclasses import replace
from pathlib import Path

from testbed.errors import BadInput
from testbed.lab.run import Options


def replayed(options: Options, folder: Path) -> Options:
    """The options of the run that left ``folder``; what the command line says itself stays.  Raises BadInput."""
    source = folder / "run.json"
    try:
        facts = json.loads(source.read_text())
        scenario, seed, overrides = Path(facts["scenario"]), int(facts["seed"]), facts["overrides"]
        circuit, shots = overrides["circuit"], overrides["shots"]
    except OSError as error:
        raise BadInput(str(source), "file", error.strerror or str(error), "name the folder of a finished run") from None
    except (ValueError, KeyError, TypeError):
        raise BadInput(str(source), "file", "it is not a run.json", "name the folder of a finished run") from None
    return replace(
        options,
        scenario=options.scenario or scenario,
        seed=seed if options.seed is None else options.seed,
        circuit=options.circuit or (Path(circuit) if circuit else None),
        shots=options.shots or shots,
    )
