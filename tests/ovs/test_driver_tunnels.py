"""Two hosts with userspace switches: the first tunnelled packet arrives once the tunnels are warm."""

import contextlib
import ipaddress
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from alcor.agent.driver import FlowDiff, VifsChanged
from alcor.agent.ovs import unixctl
from alcor.agent.ovs.switch import OvsSwitch
from alcor.pipeline.flow import Field, Flow, Output, SetField, match
from alcor.pipeline.tables import COOKIE_OURS
from tests.support.ovs import (
    Heard,
    OvsPair,
    a_connected_driver,
    a_namespace,
    an_ovs_pair,
    eventually,
    run,
)

pytestmark = pytest.mark.ovs

FRAME = bytes.fromhex("020000000001 020000000002 88b5") + b"\x55" * 60
KEY = 77


@dataclass
class Host:
    """One host of the lab: its switch, its driver and the port its VM is on."""

    pair: OvsPair
    switch: OvsSwitch
    heard: Heard
    tunnel: int
    vm: int


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def vteps(request: pytest.FixtureRequest) -> list[str]:
    """The underlay addresses of the two hosts."""
    return ["192.0.2.1", "192.0.2.2"] if request.param == 4 else ["2001:db8::1", "2001:db8::2"]


@pytest.fixture
def pairs(vteps: list[str]) -> Iterator[list[OvsPair]]:
    """Two switches whose underlay bridges, which carry the addresses, share one Ethernet."""
    with contextlib.ExitStack() as stack:
        fabric = stack.enter_context(a_namespace("twf"))
        run("ip", "-n", fabric, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", fabric, "link", "set", "br0", "up")
        found = []
        for number, vtep in enumerate(vteps):
            namespace = stack.enter_context(a_namespace("twh"))
            pair = stack.enter_context(an_ovs_pair(namespace=namespace))
            pair.ip("link", "add", "up0", "type", "veth", "peer", "name", f"host{number}", "netns", fabric)
            run("ip", "-n", fabric, "link", "set", f"host{number}", "master", "br0", "up")
            pair.ip("link", "set", "up0", "up")
            pair.vsctl("add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev")
            pair.vsctl("add-port", "br-phy", "up0")
            length, quick = ("24", ()) if "." in vtep else ("64", ("nodad",))
            pair.ip("address", "add", f"{vtep}/{length}", "dev", "br-phy", *quick)
            pair.ip("link", "set", "br-phy", "up")
            found.append(pair)
        yield found


@contextlib.asynccontextmanager
async def a_host(pair: OvsPair, vtep: str) -> AsyncIterator[Host]:
    """A connected driver with a tunnel port and a VM's port."""
    async with a_connected_driver(pair, bridge="br-int") as (switch, heard):
        tunnels = await switch.ensure_tunnels([vtep], ["vxlan"])
        pair.vsctl(
            *("add-port", "br-int", "vm0"),
            *("--", "set", "interface", "vm0", "type=internal", "external_ids:iface-id=vm"),
        )
        vifs = await heard.until(VifsChanged)
        pair.ip("link", "set", "vm0", "up")
        yield Host(pair, switch, heard, tunnels["vxlan"], vifs.ofports["vm"])


def packets(host: Host, text: str) -> int:
    """How many packets the flow whose description contains `text` has seen."""
    (line,) = [line for line in host.pair.ofctl("dump-flows", "br-int").splitlines() if text in line]
    return int(line.split("n_packets=")[1].split(",")[0])


async def test_the_first_packet_through_a_warm_tunnel_arrives(pairs: list[OvsPair], vteps: list[str]) -> None:
    """After `warm_tunnels` the switch knows the endpoint, and the first tenant packet reaches the other VM.

    The probe itself carries a key that no network has: the far end drops it.
    """
    other = ipaddress.ip_address(vteps[1])
    target = Field.TUN_IPV4_DST if other.version == 4 else Field.TUN_IPV6_DST
    async with a_host(pairs[0], vteps[0]) as near, a_host(pairs[1], vteps[1]) as far:
        encapsulate = (SetField(Field.TUN_ID, KEY), SetField(target, int(other)), Output(near.tunnel))
        tenant = Flow(0, 5, match(in_port=0xFFFF_FFFD), encapsulate, COOKIE_OURS | 1)
        deliver = Flow(0, 6, match(in_port=far.tunnel, tun_id=KEY), (Output(far.vm),), COOKIE_OURS | 1)
        miss = Flow(0, 0, (), (), COOKIE_OURS | 2)
        await near.switch.apply(FlowDiff(put=[tenant, miss]))
        await far.switch.apply(FlowDiff(put=[deliver, miss]))
        unresolved = await unixctl.call(pairs[0].ctl_socket, "tnl/neigh/show")

        await near.switch.warm_tunnels([vteps[1]])
        await eventually(lambda: vteps[1] in pairs[0].appctl("tnl/neigh/show"), "the endpoint is resolved")
        pairs[0].ofctl("packet-out", "br-int", f"in_port=CONTROLLER packet={FRAME.hex()} actions=TABLE")
        await eventually(lambda: packets(far, f"tun_id={KEY:#x}") == 1, "the first packet has arrived")

        assert vteps[1] not in unresolved
        assert "tx pkts=1," in pairs[1].ofctl("dump-ports", "br-int", str(far.vm))


async def test_warming_before_there_are_tunnels_sends_nothing(pairs: list[OvsPair], vteps: list[str]) -> None:
    """Without a tunnel port there is nothing to warm."""
    async with a_connected_driver(pairs[0], bridge="br-int") as (switch, _):
        await switch.warm_tunnels([vteps[1]])

        assert vteps[1] not in pairs[0].appctl("tnl/neigh/show")


async def test_warming_works_again_after_the_switch_restarted(pairs: list[OvsPair], vteps: list[str]) -> None:
    """A restarted switch has forgotten all endpoints, whatever the kernel remembers; warming resolves them."""
    async with a_host(pairs[0], vteps[0]) as near:
        run("ip", "netns", "exec", str(pairs[0].namespace), "ping", "-c", "1", "-W", "5", vteps[1])
        pairs[0].kill_vswitchd()
        pairs[0].start_vswitchd()
        await near.heard.until(VifsChanged)
        pairs[0].ip("link", "set", "br-phy", "up")
        forgotten = pairs[0].appctl("tnl/neigh/show")
        await near.switch.ensure_tunnels(vteps[:1], ["vxlan"])

        await near.switch.warm_tunnels([vteps[1]])
        await eventually(lambda: vteps[1] in pairs[0].appctl("tnl/neigh/show"), "the endpoint is resolved")

        assert vteps[1] not in forgotten
