"""The real `openstack` client, unmodified, against `alcor up`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alcor.lab.region import RegionProcess
from tests.support.region import running_region

pytestmark = pytest.mark.compat
OPENSTACK = Path(sys.executable).with_name("openstack")


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegionProcess]:
    """One region for all tests of this file."""
    with running_region(tmp_path_factory.mktemp("region")) as region:
        yield region


class Shell:
    """The client as a person calls it, configured by what `alcor up` printed."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one command."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("OS_")} | self.environment
        return subprocess.run(
            [OPENSTACK, *words], env=environment, capture_output=True, text=True, check=False
        )

    def json(self, *words: str) -> Any:
        """Run one command that must succeed, and read its JSON."""
        done = self.call(*words, "-f", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def quiet(self, *words: str) -> None:
        """Run one command that must succeed."""
        done = self.call(*words)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def shell(region: RegionProcess) -> Shell:
    """The client with the environment variables `alcor up` prints."""
    return Shell({"OS_AUTH_TYPE": "admin_token", "OS_ENDPOINT": region.endpoint, "OS_TOKEN": region.token})


def test_clouds_yaml_configures_the_client(region: RegionProcess) -> None:
    """The clouds.yaml that `alcor up` writes is all the client needs."""
    shell = Shell({"OS_CLIENT_CONFIG_FILE": str(region.data / "clouds.yaml"), "OS_CLOUD": "alcor"})

    assert shell.json("network", "list") == []
    assert {row["Alias"] for row in shell.json("extension", "list", "--network")} >= {"binding", "pagination"}


def test_networks_subnets_and_ports_live_their_life(shell: Shell) -> None:
    """Create, show, list, set and delete work for networks, subnets and ports."""
    network = shell.json("network", "create", "red", "--description", "first")
    four = shell.json("subnet", "create", "red-4", "--network", "red", "--subnet-range", "10.1.0.0/24")
    six = shell.json(
        *(
            "subnet",
            "create",
            "red-6",
            "--network",
            "red",
            "--ip-version",
            "6",
            "--subnet-range",
            "fd00:1::/64",
        ),
        *("--ipv6-ra-mode", "slaac", "--ipv6-address-mode", "slaac"),
    )
    port = shell.json(
        *("port", "create", "vm-1", "--network", "red", "--fixed-ip", "subnet=red-4,ip-address=10.1.0.77")
    )

    assert network["status"] == "ACTIVE"
    assert network["provider:network_type"] == "vxlan"
    assert four["gateway_ip"] == "10.1.0.1"
    assert four["allocation_pools"] == [{"start": "10.1.0.2", "end": "10.1.0.254"}]
    assert six["ipv6_ra_mode"] == "slaac"
    assert "10.1.0.77" in [fixed["ip_address"] for fixed in port["fixed_ips"]]
    assert port["status"] == "DOWN"

    shell.quiet("network", "set", "red", "--name", "crimson")
    shell.quiet("subnet", "set", "red-4", "--dns-nameserver", "9.9.9.9")
    shell.quiet("port", "set", "vm-1", "--name", "vm-one", "--disable")

    assert [row["Name"] for row in shell.json("network", "list")] == ["crimson"]
    assert shell.json("subnet", "show", "red-4")["dns_nameservers"] == ["9.9.9.9"]
    assert shell.json("port", "show", "vm-one")["admin_state_up"] is False
    assert [row["ID"] for row in shell.json("port", "list", "--network", "crimson")] == [port["id"]]
    assert [row["ID"] for row in shell.json("port", "list", "--fixed-ip", "ip-address=10.1.0.77")] == [
        port["id"]
    ]

    refused = shell.call("network", "delete", "crimson")
    assert refused.returncode == 1
    assert "in use" in refused.stderr

    shell.quiet("port", "delete", "vm-one")
    shell.quiet("subnet", "delete", "red-4", "red-6")
    shell.quiet("network", "delete", "crimson")
    assert shell.json("network", "list") == []


def test_errors_reach_the_person(shell: Shell) -> None:
    """What the client prints names the thing and the reason."""
    missing = shell.call("network", "show", "nowhere")
    shell.quiet("network", "create", "green")
    wrong = shell.call("subnet", "create", "s", "--network", "green", "--subnet-range", "10.1.0.0/99")
    stranger = Shell(shell.environment | {"OS_TOKEN": "wrong"}).call("network", "list")
    shell.quiet("network", "delete", "green")

    assert "No Network found for nowhere" in missing.stderr
    assert "10.1.0.0/99" in wrong.stderr
    assert stranger.returncode == 1
    assert "401" in stranger.stderr
