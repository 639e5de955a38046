"""A small cloud for outside clients: a real Keystone, a region of Alcor behind it, people, a network outside, a host.

    with running_cloud(folder) as cloud:
        cloud.keystone.url, cloud.region.endpoint, cloud.public_network_id

People, as outside test suites expect them: `admin` in the project admin, `demo` (member) in demo, `alt_demo`
(member) in alt_demo, all of the domain Default, plus the service user `alcor` in the project service.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alcor.lab.command import start, wait_until
from alcor.lab.ledger import Ledger
from alcor.lab.region import Client, RegionProcess
from tests.compat.keystone import ADMIN_PASSWORD, MEMBER_PASSWORD, REGION, SERVICE_PASSWORD, Keystone

PUBLIC_NETWORK = "public"
HOST = "compute-1"
ROOT = Path(__file__).parents[2]


class Cloud:
    """Keystone and a region that trusts it. `settings`: further sections of the region's configuration."""

    def __init__(self, folder: Path, ledger: Ledger, settings: Mapping[str, Mapping[str, Any]]) -> None:
        self.folder = folder
        self.keystone = Keystone(folder / "keystone", ledger)
        self.region: RegionProcess
        self.public_network_id = ""
        self._settings = settings
        self._generation = 0
        # What belongs to the region, so that it can be replaced while Keystone stays.
        self._parts = Ledger(folder / "region")
        self._address = ""

    def start(self) -> None:
        """Start everything and wait for it. Raises: NotInstalled, LabError."""
        self.keystone.start()
        project = self.keystone.create_project("service")
        self.keystone.grant(self.keystone.create_user("alcor", SERVICE_PASSWORD), project, "service")
        for name in ("demo", "alt_demo"):
            project = self.keystone.create_project(name)
            self.keystone.grant(self.keystone.create_user(name, MEMBER_PASSWORD), project, "member")
        self._start_region()
        self.keystone.add_service("network", "alcor", self.region.endpoint)

    def renew(self) -> None:
        """Replace the region by an empty one at the same address; Keystone, its people and projects stay."""
        self.stop_region()
        self._start_region()

    def stop_region(self) -> None:
        """End the region and its host."""
        self._parts.sweep()

    def _start_region(self) -> None:
        self._generation += 1
        folder = self.folder / f"region-{self._generation}"
        folder.mkdir()
        self._parts = Ledger(folder)
        self.region = RegionProcess(folder, self._parts, api=self._address)
        self.region.start("--config", str(self._write_configuration()))
        self.region.ready()
        self._address = self.region.endpoint.removeprefix("http://").rstrip("/")
        self._create_public_network()
        self._start_host(folder)

    def _write_configuration(self) -> Path:
        keystone = {
            "auth_url": self.keystone.url,
            "username": "alcor",
            "password": SERVICE_PASSWORD,
            "project_name": "service",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }
        path = self.folder / "alcor.toml"
        path.write_text(render_toml({"keystone": keystone, **self._settings}))
        return path

    def _create_public_network(self) -> None:
        with self.client() as api:
            external = {"name": PUBLIC_NETWORK, "router:external": True}
            self.public_network_id = api.create("v2.0/networks", "network", **external)["id"]
            subnet = {"network_id": self.public_network_id, "enable_dhcp": False, "name": "public-subnet"}
            api.create("v2.0/subnets", "subnet", **subnet, ip_version=4, cidr="172.24.4.0/22")

    def _start_host(self, folder: Path) -> None:
        """One host with the real agent on a simulated switch, so that there is an agent to list and bind to."""
        with self.client() as api:
            made = api.create("hosts", "host", name=HOST, vtep_addresses=["192.0.2.1"])
            token = folder / "host.token"
            token.touch(mode=0o600)
            token.write_text(made["token"])
            start(
                self._parts,
                *(sys.executable, "-m", "tests.compat.simulated_host", HOST, made["id"], str(token)),
                self.region.agents_socket,
                log=folder / "host.log",
                env={"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
            )
            wait_until("the host", lambda: api.show(f"hosts/{made['id']}")["host"]["status"] == "UP")

    def client(self) -> Client:
        """A client of the Networking API with a token that Keystone gave the administrator."""
        return Client(self.region.endpoint, self.keystone.token("admin", ADMIN_PASSWORD, "admin"))

    def extensions(self) -> list[str]:
        """The aliases the region lists, sorted: what it offers."""
        with self.client() as api:
            return sorted(extension["alias"] for extension in api.show("v2.0/extensions")["extensions"])

    def clouds(self) -> dict[str, Any]:
        """The content of a clouds.yaml with the names the outside suites look for."""
        people = {
            "devstack": ("demo", MEMBER_PASSWORD, {"project_name": "demo"}),
            "devstack-alt": ("alt_demo", MEMBER_PASSWORD, {"project_name": "alt_demo"}),
            "devstack-admin": ("admin", ADMIN_PASSWORD, {"project_name": "admin"}),
            "devstack-system-admin": ("admin", ADMIN_PASSWORD, {"system_scope": "all"}),
        }
        return {"clouds": {name: self._cloud(*person) for name, person in people.items()}}

    def _cloud(self, user: str, password: str, scope: dict[str, str]) -> dict[str, Any]:
        auth = {"auth_url": self.keystone.url, "username": user, "password": password}
        auth |= {"user_domain_id": "default", **scope}
        if "project_name" in scope:
            auth["project_domain_id"] = "default"
        return {"auth": auth, "region_name": REGION, "identity_api_version": "3"}


def render_toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Sections of texts, numbers and booleans as TOML; a JSON text is a TOML text too."""
    lines = []
    for section, fields in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
    return "\n".join(lines) + "\n"


@contextmanager
def running_cloud(folder: Path, settings: Mapping[str, Mapping[str, Any]] | None = None) -> Iterator[Cloud]:
    """A cloud on free loopback ports in an empty folder; everything it started ends with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(folder)
    cloud = Cloud(folder, ledger, settings or {})
    try:
        cloud.start()
        yield cloud
    finally:
        cloud.stop_region()
        cloud.keystone.close()
        ledger.sweep()
