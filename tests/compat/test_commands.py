"""Every networking command of the unmodified `openstack` client does its work, as people of a real Keystone."""

from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from typing import Any

import pytest
import yaml

from tests.compat import commands_core, commands_projects, commands_services
from tests.compat.cloud import Cloud, running_cloud
from tests.compat.openstack_shell import OpenStackShell, Step

pytestmark = pytest.mark.compat

FAMILIES: dict[str, list[Step]] = {
    **commands_core.FAMILIES,
    **commands_services.FAMILIES,
    **commands_projects.FAMILIES,
}
PLUGINS = ("", ".bgpvpn", ".dynamic_routing", ".fwaas", ".taas", ".vpnaas")
# The client's networking commands outside its networking plug-in.
ALSO = (
    "availability zone list",
    "extension list",
    "extension show",
    "quota delete",
    "quota list",
    "quota set",
)

# How commands begin whose extension is not offered. Once it is, its entry fails here: its commands belong in the table.
NOT_OFFERED = {
    # Every host answers DHCP for its own machines: there is nothing to schedule.
    "dhcp_agent_scheduler": ("network agent add network", "network agent remove network"),
    # Gateways and speakers are placed by the region, on hosts and not on agents.
    "l3_agent_scheduler": ("network agent add router", "network agent remove router"),
    "l3-agent-scheduler-ha-chassis-priority": ("network agent router set",),
    "bgp_dragent_scheduler": ("bgp dragent",),
    # Whether a group is stateful is said when it is made.
    "security-groups-default-statefulness": ("security group default statefulness",),
}


class Site:
    """A cloud and the client for all families; a family that failed leaves the next one an empty region."""

    def __init__(self, cloud: Cloud, shell: OpenStackShell) -> None:
        self._cloud, self._shell = cloud, shell
        self._clean = True

    def extensions(self) -> list[str]:
        """What the region offers."""
        return self._cloud.extensions()

    def run(self, steps: Sequence[Step]) -> None:
        """Take the steps of a family, one after the other."""
        if not self._clean:
            self._cloud.renew()
        self._clean = False
        kept: dict[str, Any] = {}
        for step in steps:
            self._shell.take(step, kept)
        self._clean = True


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One cloud and one client for this file."""
    folder = tmp_path_factory.mktemp("cloud")
    with running_cloud(folder) as cloud:
        (folder / "clouds.yaml").write_text(yaml.safe_dump(cloud.clouds()))
        shell = OpenStackShell(folder / "clouds.yaml")
        yield Site(cloud, shell)
        shell.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_commands_of_a_family_do_their_work(site: Site, family: str) -> None:
    """Create, list, show, set, unset and delete say and do what the client's manual promises."""
    site.run(FAMILIES[family])


def test_the_table_leaves_out_no_command(site: Site) -> None:
    """Every networking command the installed client knows is in the table, unless its extension is not offered."""
    groups = [entry_points(group=f"openstack.network.v2{plugin}") for plugin in PLUGINS]
    known = {entry.name.replace("_", " ") for group in groups for entry in group} | {*ALSO}
    lines = [step.words for steps in FAMILIES.values() for step in steps]

    # The longest name that fits is the command: "network trunk list" is no "network".
    used = {
        max((name for name in known if f"{line} ".startswith(f"{name} ")), key=len, default="")
        for line in lines
    }

    beginnings = tuple(beginning for beginnings in NOT_OFFERED.values() for beginning in beginnings)
    assert sorted(known - used) == sorted(command for command in known if command.startswith(beginnings))
    assert [alias for alias in NOT_OFFERED if alias in site.extensions()] == []
