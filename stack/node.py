"""One node: which services stand on which, and the order in which it boots.

What may live here: composition.  To put another layer in, change the line here that builds it.
"""

import os
from collections.abc import Awaitable, Callable
from socket import socket
from typing import Any

from stack.application.controller import ControllerService
from stack.application.data_qubits import DataQubits
from stack.application.echo import EchoService
from stack.application.gates import RemoteGates
from stack.application.jobs import JobRunner
from stack.application.keys import KeysApp, KeyService
from stack.application.leases import Leases
from stack.application.link_load import LinkLoadApp
from stack.application.pairs import PairsApp
from stack.application.probe import Probe
from stack.application.programs import Programs
from stack.application.results import SharedResults
from stack.application.teleport import TeleportApp
from stack.config import CONTROLLER_APP, Device, NodeConfig
from stack.link.service import EntanglementLink
from stack.network.service import Network
from stack.physical.midpoint import Physical
from stack.physical.station import Station
from stack.physical.switch import Switch
from stack.physical.timekeeping import TimeKeeper
from stack.record import NullRecorder, Recorder, spool_name
from stack.runtime.clock import node_clock
from stack.runtime.host import Host
from stack.runtime.kernel import Kernel, Waiter
from stack.runtime.messenger import Messenger
from stack.runtime.nic import Nic
from stack.runtime.session import Session
from stack.transport.service import Transport

App = Callable[[dict[str, Any]], Awaitable[None]]


class Node:
    """The services of one node, bottom up."""

    def __init__(self, kernel: Kernel, config: NodeConfig) -> None:
        self.kernel = kernel
        self.config = config
        self.nic = Nic(kernel, config)
        self.apps: dict[str, App] = {}
        self.keeper = TimeKeeper(kernel, config, config.time, self.nic, self._clock_set) if config.time else None
        self._waits: Waiter[None] = Waiter(kernel)
        if self.keeper is None:
            self._services()

    def _services(self) -> None:
        """Everything that goes by the node's clock.  A node that must set its clock first hears no other protocol till
        then: to its neighbours it is a node that has not come up yet."""
        kernel, config = self.kernel, self.config
        self.messenger = Messenger(kernel, self.nic, config)
        self.echo = EchoService(kernel, self.nic)
        self.apps["echo"] = self.echo.app
        self.apps["device"] = self.echo.device_app
        if any(link.station == config.number for link in config.links):
            kind = Station if config.switch is None else Switch
            self.station = kind(kernel, config, self.messenger)
        elif config.device is not None:
            self._quantum_layers(config.device)
        elif config.control is not None:
            self.controller = ControllerService(kernel, config, config.control, self.messenger)
            self.apps[CONTROLLER_APP] = self.controller.app

    def _quantum_layers(self, device: Device) -> None:
        """The five layers, each on the one below."""
        kernel, config, messenger = self.kernel, self.config, self.messenger
        self.physical = Physical(kernel, config, device, messenger)
        self.link = EntanglementLink(kernel, config, self.physical, messenger)
        self.network = Network(kernel, config, self.physical, self.link, messenger)
        self.transport = Transport(kernel, self.physical, self.network, messenger, device.communication_qubits)
        # A node's remote gates with a peer share one stream of pairs: the strictest of its jobs decides about it.
        wanted = [app["minimum_fidelity"] for name, app in config.apps.items() if name.startswith("job-")]
        self.gates = RemoteGates(kernel, self.physical, self.network, messenger, max(wanted, default=0.0))
        self.results = SharedResults(kernel, messenger)
        jobs = JobRunner(kernel, self.physical, self.gates, self.results)
        self.data = DataQubits(device.data_qubits)
        if config.controller:
            self.leases = Leases(kernel, config, self.data, jobs, self.gates, self.results, messenger)
        teleport = TeleportApp(kernel, self.physical, self.transport)
        self.apps["teleport"] = teleport.app
        self.jobs = jobs
        load = LinkLoadApp(kernel, config.seed, self.physical, self.link)
        pairs = PairsApp(kernel, self.physical, self.network)
        Probe(kernel, self.physical, self.network)
        self.keys = KeyService(kernel, config, self.physical, self.network, messenger)
        keys = KeysApp(kernel, self.keys)
        Programs(kernel, config, self.physical, self.transport, self.gates, self.data, self.keys)
        for name in self.config.apps:
            if name.startswith("job-"):
                self.apps[name] = jobs.app
            elif name.startswith("pairs-"):
                self.apps[name] = pairs.app
            elif name.startswith("keys-"):
                self.apps[name] = keys.app
            elif name.startswith("load-"):
                self.apps[name] = load.app

    def shown(self) -> dict[str, Any]:
        """What a person who looks into the node finds, by layer: plain data, for JSON and for tables."""
        about: dict[str, Any] = {
            "state": "up" if self.kernel.alive else "dead",
            "incarnation": self.kernel.incarnation,
            "programs": list(self.kernel.results.get("running", [])),
            "queues": [],
            "memories": [],
            "circuits": [],
            "sessions": [],
            "keys": [],
            "streams": [],
        }
        if not self.kernel.alive:
            return about
        if hasattr(self, "messenger"):
            about["streams"] = self.messenger.shown()
        if hasattr(self, "network"):
            about["queues"] = self.link.shown()
            about["memories"] = self.physical.memory.shown()
            about["circuits"] = self.network.shown()
            about["keys"] = self.keys.shown()
            about["sessions"] = self.transport.driver.machine.shown()
        return about

    async def main(self) -> None:
        """Boot: the clock, if it is kept; attached programs, then the node's own apps, in the order of the scenario."""
        kernel = self.kernel
        kernel.event("node", "started", incarnation=kernel.incarnation)
        waits = self.keeper is not None and bool(self.config.apps or kernel.sessions)
        if waits:
            kernel.program_opened()  # the run is not over before its programs have begun
        if self.keeper is not None:
            self.keeper.start()
            await self._waits.wait()
            self._services()
            kernel.event("node", "up")
        self.messenger.start()
        for session in list(kernel.sessions):
            session.open()
        if hasattr(self, "network"):
            self.network.start()
        if hasattr(self, "leases"):
            self.leases.start()
        if hasattr(self, "controller"):
            self.controller.start()
        for arguments in self.config.died.values():
            self.jobs.decline(arguments)
        kernel.results["running"] = list(self.config.apps)
        for name, arguments in self.config.apps.items():
            kernel.program_opened()
            kernel.spawn(self._run_app, name, arguments, name=name)
        if waits:
            kernel.program_closed()

    def _clock_set(self) -> None:
        self._waits.set(None)

    async def _run_app(self, name: str, arguments: dict[str, Any]) -> None:
        await self.apps[name](arguments)
        self.kernel.event("node", "app ended", app=name)
        self.kernel.results["running"].remove(name)
        self.kernel.program_closed()


def boot(host: Host, config: NodeConfig, sessions: list[socket]) -> Node:
    """Make a node on ``host`` and have it start at its ``start_ps``."""
    recorder: Recorder | NullRecorder = NullRecorder()
    if config.spools:
        path = os.path.join(config.spools, spool_name(config.number, config.incarnation))
        recorder = Recorder(path, config.number, config.incarnation)
        recorder.hold(bool(config.plight.full))
    kernel = Kernel(host, config.number, config.name, config.incarnation, recorder, node_clock(config))
    kernel.sessions = [Session(kernel, index, sock) for index, sock in enumerate(sessions)]
    kernel.sessions_ever = len(sessions)
    node = Node(kernel, config)
    host.start(kernel, node.main, config.start_ps)
    return node
