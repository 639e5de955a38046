"""Hosts of a region whose switch this machine can reach, as their agents say on their status sockets."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from alcor.agent.status import fetch
from alcor.lab.command import LabError, run
from alcor.lab.ledger import Ledger
from alcor.lab.region import Client

PROVIDED = ("flat", "vlan")
"""Types of networks that a provider bridge carries."""


class HostAtHand:
    """A host into whose switch machines can be plugged; `alcor.lab.vm.Host`."""

    def __init__(self, prefix: str, row: Mapping[str, Any], here: Mapping[str, Any], ledger: Ledger) -> None:
        """`row`: the region's; `here`: what its agent says of where it is."""
        self.id, self.name = str(row["id"]), str(row["name"])
        self.mappings: dict[str, str] = dict(row["bridge_mappings"] or {})
        self.bridge = str(here["bridge"])
        self.folder = ledger.folder
        self.namespace = f"{prefix}{self.name}"
        self._pid, self._ovsdb = int(here["pid"]), str(here["ovsdb"])
        self._prefix, self._ledger, self._vifs = prefix, ledger, 0

    def enter(self) -> None:
        """Give the agent's network namespace a name, under which machines find it. Raises: LabError."""
        self._ledger.add("namespace", self.namespace)
        run("ip", "netns", "attach", self.namespace, str(self._pid))

    def next_vif(self) -> str:
        """A fresh interface name; recorded, so that it leaves the switch's database whatever happens."""
        self._vifs += 1
        name = f"{self._prefix}{self._vifs}"
        self._ledger.add("port", f"{self._ovsdb} {name}")
        return name

    def vsctl(self, *arguments: str) -> str:
        """As `alcor.lab.vm.Host`."""
        return run("ovs-vsctl", f"--db=unix:{self._ovsdb}", "--timeout=10", *arguments)


def find_hosts(sockets: Iterable[Path], client: Client, prefix: str, ledger: Ledger) -> list[HostAtHand]:
    """The hosts whose agents answer at these sockets, and that are this region's and UP; by name."""
    found = {}
    for socket in sockets:
        try:
            facts = asyncio.run(fetch(socket))
            row = client.show(f"hosts/{facts['host']['id']}")["host"]
        except (OSError, LabError):
            continue
        if "here" in facts and row["status"] == "UP" and facts["switch"]["connected"]:
            found[row["name"]] = HostAtHand(prefix, row, facts["here"], ledger)
    return [found[name] for name in sorted(found)]
