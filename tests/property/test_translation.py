"""Tenants with the same addresses, the same ports and the same destinations: nobody leaves with another's address, and
nobody gets another's answer.
"""

import hypothesis.strategies as st
import msgspec
from hypothesis import assume, given

from alcor.model.floatingip import FloatingIp
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.resource import Entity
from alcor.model.router import Router
from tests.property.test_verdict import HALF, answer_to, arrivals, transmit
from tests.support.oracle import Arrival
from tests.support.packet_site import OPEN, Fabric, Site
from tests.support.random_region import FAR, OUT, Packet, Region, Sent, regions, target_mac
from tests.support.transport_packets import ICMP, TCP, UDP

STEPS = 40
CLIENT_PORTS = (40_000, 40_001)
"""Few, so that connections of several machines have the same ports."""


def opened(site: Region) -> Region:
    """The region with every machine open, bound, up; every router up and translating; no lists.

    What differs still: hosts, types of networks, floating IPs, pairs.
    """
    rows: list[Entity] = []
    for row in site.rows:
        if isinstance(row, Port) and not row.device_owner:
            row = msgspec.structs.replace(
                row,
                admin_state_up=True,
                port_security_enabled=True,
                security_groups=(OPEN,),
                binding_host_id=row.binding_host_id or "h3",
                binding_vif_type="ovs",
            )
        elif isinstance(row, Router):
            row = msgspec.structs.replace(row, admin_state_up=True, enable_snat=True, routes=())
        elif isinstance(row, Network):
            row = msgspec.structs.replace(row, admin_state_up=True)
        if row.id != "acl":
            rows.append(row)
    return Region(tuple(rows), next_hops=site.next_hops)


def outer_address(site: Site, port: Port) -> str | None:
    """The one address with which a machine may be seen outside: its floating IP, else its router's; None: none."""
    for row in site.rows:
        if isinstance(row, FloatingIp) and row.port_id == port.id:
            return row.floating_ip_address
    interfaces = {one.id: one for one in site.ports}
    interface = interfaces.get(f"{port.network_id}-gw")
    gateway = interfaces.get(f"ext-{interface.device_id}") if interface is not None else None
    return gateway.fixed_ips[0].ip_address if gateway is not None else None


@st.composite
def openers(draw: st.DrawFn, site: Region) -> Sent:
    """A machine opens a connection, or goes on with one: to the world or to a floating IP."""
    able = [port for port in site.ports if not port.device_owner and outer_address(site, port) is not None]
    port = draw(st.sampled_from(able))
    own = port.fixed_ips[0].ip_address
    floats = [row.floating_ip_address for row in site.rows if isinstance(row, FloatingIp)]
    target = draw(st.sampled_from([FAR, FAR, OUT, *floats]))
    protocol = draw(st.sampled_from((ICMP, TCP, UDP)))
    client = draw(st.sampled_from(CLIENT_PORTS))
    packet = Packet(own, target, protocol, client, client if protocol == ICMP else 80)
    mac = target_mac(site, port, target)
    assert mac is not None, "it has a router"
    return Sent(port.id, port.mac_address, mac, packet)


@HALF
@given(st.data())
def test_each_tenant_keeps_to_its_own_addresses(data: st.DataObject) -> None:
    """Of interleaved connections every packet leaves as its machine's own, and every answer comes to its opener."""
    site = opened(data.draw(regions()))
    assume(any(outer_address(site, port) for port in site.ports if not port.device_owner))
    fabric = Fabric(site)
    waiting: list[tuple[Sent, Sent]] = []
    seen: dict[Arrival, Sent] = {}
    for _ in range(STEPS):
        if data.draw(st.booleans()) and waiting:
            opener, answer = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
            packet = opener.packet.reply()
            ends = (packet.source, packet.target, packet.protocol, packet.source_port, packet.target_port)
            assert arrivals(transmit(fabric, site, answer)) == {Arrival(opener.place, *ends): 1}, (
                opener,
                answer,
            )
            continue
        one = data.draw(openers(site))
        outcome = transmit(fabric, site, one)
        (found,) = arrivals(outcome) or (None,)
        if found is None:
            # A floating IP does not lead to whoever has it; no switch of ours translates identifiers of ICMP.
            is_own = one.packet.target == outer_address(site, site.port(one.place))
            assert is_own or one.packet.protocol == ICMP, one
            continue
        assert found.source == outer_address(site, site.port(one.place)), (one, found)
        assert seen.setdefault(found, one) == one, (found, one)
        reply = answer_to(outcome, one, site)
        if reply is not None:
            waiting.append((one, reply))
