"""A scenario file read as a whole.

What may live here: the top level of the file, in the order in which one section needs another.
"""

import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from testbed.scenario import (
    channels,
    circuits,
    devices,
    link_requests,
    links,
    nodes,
    planned,
    routing,
    schema,
    timing,
    work,
)
from testbed.scenario import keys as key_section
from testbed.scenario.model import FORMALISMS, PLOTS, Scenario
from testbed.scenario.schema import Form, Section
from testbed.scenario.source import Item, load_yaml
from testbed.scenario.troubles import Ground

_SCENARIO: Final = Form("", "a scenario", (
    "name", "description", "seed", "speed_m_per_s", "devices", "nodes", "links", "stars", "channel", "faults", "job",
    "jobs", "teleport", "toy", "programs", "duration_s", "linger_s", "dilation", "host_allowance_s", "mqtt",
    "formalism", "circuits", "routing", "requests", "link_requests", "keys", "time_sync", "plots",
))  # fmt: skip

MAX_SEED: Final = (1 << 63) - 1
SPEED_M_PER_S: Final = 2e8
"""Light in fibre, to one digit. 206,753 km/s and 4.9 µs/km are in use as well, hence the key."""
LINGER_PS: Final = 10**9
HOST_ALLOWANCE_PS: Final = 5 * 10**9
LEAST_DILATION: Final = 1e-6
MOST_DILATION: Final = 1e6

# Below, delays of admitted lengths would outgrow MAX_S; above, fibre would outrun vacuum.
_LEAST_SPEED_M_PER_S = 1e6
_MOST_SPEED_M_PER_S = 299_792_458.0


def load_scenario(path: str | Path) -> Scenario:
    """Read and check a scenario file; raises BadInput, and nothing else, for whatever is wrong with it."""
    path = Path(path)
    root = load_yaml(path, "scenario")
    keys = Section(root, _SCENARIO)
    speed_m_per_s = keys.number("speed_m_per_s", SPEED_M_PER_S, _LEAST_SPEED_M_PER_S, _MOST_SPEED_M_PER_S)
    own_devices = devices.own_devices(keys.get("devices"))
    by_name = nodes.read(keys.need("nodes"), own_devices)
    quantum, classical = links.read(keys.get("links"), keys.get("stars"), by_name, speed_m_per_s)
    ways = channels.read(keys.get("channel"), by_name, quantum, classical)
    time_sync = timing.read(keys.get("time_sync"), by_name, ways, bool(quantum))
    policy = circuits.read(keys.get("circuits"))
    return Scenario(
        name=schema.name(keys.need("name"), "scenario") if "name" in keys else _stem(path),
        description=schema.text(keys.need("description")).strip() if "description" in keys else "",
        seed=keys.integer("seed", 1, 0, MAX_SEED),
        path=path,
        speed_m_per_s=speed_m_per_s,
        nodes=tuple(by_name.values()),
        devices=own_devices.devices,
        links=tuple(quantum),
        classical_links=tuple(classical),
        channels=tuple(ways),
        faults=tuple(planned.read(keys.get("faults"), by_name, Ground(by_name.values(), quantum, classical, ways))),
        jobs=tuple(work.jobs(keys, by_name, path.parent, ways)),
        teleport=work.teleport(keys.get("teleport"), by_name, quantum, policy.growing),
        programs=tuple(work.programs(keys.get("programs"), by_name, path.parent)),
        toy=work.toy(keys.get("toy"), by_name, ways),
        duration_ps=keys.seconds("duration_s", None, 1e-9) if "duration_s" in keys else None,
        linger_ps=keys.seconds("linger_s", LINGER_PS, 1e-9),
        dilation=keys.number("dilation", 1.0, LEAST_DILATION, MOST_DILATION),
        host_allowance_ps=keys.seconds("host_allowance_s", HOST_ALLOWANCE_PS, 1e-5, 1.0),
        mqtt=_mqtt(keys.get("mqtt")),
        time_sync=time_sync,
        plots=_plots(keys.get("plots")),
        formalism=schema.choice(keys.need("formalism"), FORMALISMS, "formalism") if "formalism" in keys else "auto",
        circuits=policy,
        routing=routing.read(keys.get("routing"), path.parent),
        requests=tuple(circuits.requests(keys.get("requests"), by_name, quantum)),
        keys=tuple(key_section.read(keys.get("keys"), by_name, quantum)),
        link_loads=tuple(link_requests.read(keys.get("link_requests"), by_name, quantum)),
    )


def _plots(item: Item | None) -> tuple[str, ...]:
    """What the run is to draw."""
    return () if item is None else tuple(schema.choice(one, PLOTS, "plot") for one in schema.items(item, "plots"))


def _stem(path: Path) -> str:
    """The file's name, fit to name a scenario."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", path.stem)[:32] or "scenario"


def _mqtt(item: Item | None) -> str:
    if item is None:
        return "none"
    value = schema.text(item, "none, embedded or the URL of a broker")
    if value in ("none", "embedded"):
        return value
    remedy = "write none, embedded or a URL such as mqtt://localhost:1883"
    try:
        url = urlsplit(value)
        usable = url.scheme in ("mqtt", "mqtts") and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"\s", value):
        # Not shown: a broker's URL may hold a password.
        raise item.bad("this is no address of an MQTT broker", remedy)
    return value
