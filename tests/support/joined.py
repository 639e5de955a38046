"""A site of real switches whose hosts joined by themselves: by an invite token, with keys of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from alcor.lab.command import LabError, run, start
from alcor.lab.ledger import Ledger
from alcor.lab.site import Site


class JoinedSite(Site):
    """Hosts that joined; their agents run in their namespaces, beside the region's socket."""

    def register_hosts(self) -> None:
        """Invite and join every host, and start its agent."""
        for name, host in self.hosts.items():
            token = self.alcor("host", "invite", "--quiet").stdout.strip()
            where = ("--region", self.region.endpoint, "--name", name, "--vtep", host.vtep)
            self.agent(name, "join", "--token", token, *where)
            joined = (self.identity(name) / "joined.json").read_text()
            self.host_ids[name] = json.loads(joined)["host_id"]
            self.joined(name)
            self.start_agent(name)

    def joined(self, host: str) -> None:
        """What is to be done before a joined host's agent starts."""

    def identity(self, host: str) -> Path:
        """Where its key is."""
        return self.hosts[host].folder / "identity"

    def alcor(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run `alcor` to its end."""
        command = (sys.executable, "-m", "alcor.cli.main", *words)
        told = {"ALCOR_ENDPOINT": self.region.endpoint, "ALCOR_TOKEN": self.region.token}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env=os.environ | told
        )

    def agent(self, host: str, *words: str) -> str:
        """Run `alcor-agent` to its end."""
        return run(sys.executable, "-m", "alcor.cli.agent", *words, env=self.environment(host))

    def environment(self, host: str) -> dict[str, str]:
        """What `alcor-agent` is told on a host."""
        return {**self.settings, "ALCOR_AGENT__IDENTITY_FOLDER": str(self.identity(host))}


class OverTls(JoinedSite):
    """Their agents attach over mutual TLS; they run beside the namespaces, their switches' sockets are files."""

    def __init__(self, prefix: str, folder: Path, ledger: Ledger, **more: Any) -> None:
        super().__init__(prefix, folder, ledger, **more)
        self.agents: dict[str, subprocess.Popen[bytes]] = {}
        """Those that were started, by host."""

    def environment(self, host: str) -> dict[str, str]:
        """As `JoinedSite`, and where its switch is."""
        lab = self.hosts[host]
        return super().environment(host) | {
            "ALCOR_AGENT__OVSDB": str(lab.db_socket),
            "ALCOR_AGENT__RUN_FOLDER": str(lab.run_folder),
            "ALCOR_AGENT__DATAPATH_TYPE": "netdev",
            "ALCOR_AGENT__STATUS_SOCKET": str(lab.status_socket),
            "ALCOR_METADATA__ENABLED": "false",
            "ALCOR_BGP__ENABLED": "false",
        }

    def start_agent(self, host: str) -> None:
        """Start the agent of a host; it finds the region by what joining left."""
        command = (sys.executable, "-m", "alcor.cli.agent", "run")
        log = self.hosts[host].log("agent")
        self.agents[host] = start(self._ledger, *command, log=log, env=self.environment(host))

    def status(self, host: str) -> dict[str, Any]:
        """What the agent says of itself; nothing while it does not answer."""
        try:
            return dict(json.loads(self.agent(host, "status", "--json")))
        except LabError:
            return {}


class RescueSite(JoinedSite):
    """Hosts that rescue one another; a dead agent is replaced after a second."""

    def joined(self, host: str) -> None:
        """Let it serve gateways: hosts probe one another for their sake."""
        self.client.update(
            "hosts", "host", self.host_ids[host], gateway=True, bridge_mappings={"physnet1": "br-ex"}
        )

    def start_agent(self, host: str) -> None:
        """Start (again) the agent of a host, in its namespace."""
        told = self.environment(host)
        self.hosts[host].start_agent(self.host_ids[host], "", self.region.agents_socket, environment=told)

    def health(self, host: str) -> dict[str, Any]:
        """What the API says of a host."""
        return dict(self.client.show(f"hosts/{self.host_ids[host]}/health")["health"])


RESCUE = {"ALCOR_RESCUE__ENABLED": "true", "ALCOR_DATAPLANE__RESCUE_AFTER_S": "1"}
"""Settings of a `RescueSite`."""
