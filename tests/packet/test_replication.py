"""Replication happens at the source only."""

import pytest

from alcor.goalstate.item import NetworkHost
from alcor.model.address import Ip, ip_int
from alcor.pipeline.compile import flows
from alcor.pipeline.simulate import SimulatedTables, TunnelMetadata
from alcor.pipeline.tables import (
    REMOTE_PARTS_FROM,
    UNKNOWN_LOCAL_PARTS_FROM,
    UNKNOWN_REMOTE_PARTS_FROM,
    Table,
)
from tests.support.packet_cases import I1, I3, M1, M3, M4, STANDARD
from tests.support.packet_site import TUNNEL, Fabric
from tests.support.packets import BROADCAST, echo

FROM_H2 = TunnelMetadata(5001, ipv4_src=ip_int(Ip("192.0.2.2")))


@pytest.mark.parametrize("to", [M4, "02:00:00:00:66:66", BROADCAST])
def test_what_comes_from_a_tunnel_never_looks_for_another(to: str) -> None:
    """Neither the way to another host nor a remote part of a flood is looked up, whatever tunnel ports there are."""
    switch = Fabric(STANDARD).switches["h1"]

    emissions, steps = switch.follow(echo((M3, to), (I3, I1)), TUNNEL, FROM_H2)

    assert Table.L2_REMOTE not in {step.table for step in steps}
    parts = {
        term.value
        for step in steps
        if step.table == Table.FLOOD and step.flow is not None
        for term in step.flow.match
        if term.field.name == "REG11"
    }
    to_local = (range(1, REMOTE_PARTS_FROM), range(UNKNOWN_LOCAL_PARTS_FROM, UNKNOWN_REMOTE_PARTS_FROM))
    assert all(any(part in some for some in to_local) for part in parts)
    assert TUNNEL not in {emission.port for emission in emissions}
    assert len(emissions) == (3 if to == BROADCAST else 1)


def test_an_unknown_tunnel_id_is_nobodys() -> None:
    """A segment that no network here has is dropped at the entrance."""
    switch = Fabric(STANDARD).switches["h1"]

    assert switch.process(echo((M3, M1), (I3, I1)), TUNNEL, TunnelMetadata(9999)) == []


def test_a_flood_in_parts_reaches_each_host_once() -> None:
    """Hundreds of hosts of both families: one copy each, none with the end of another."""
    fabric = Fabric(STANDARD)
    view, allocation = fabric.views["h1"], fabric.allocations["h1"]
    hosts = view.networks["red"].hosts
    for n in range(300):
        hosts[f"four{n}"] = NetworkHost(id=f"four{n}", vtep=f"198.51.{n >> 8}.{n & 255}")
        hosts[f"six{n}"] = NetworkHost(id=f"six{n}", vtep=f"2001:db8:1::{n + 1:x}")
    switch = SimulatedTables(flows(view, allocation).values())

    emissions = switch.process(echo((M1, BROADCAST), (I1, "10.0.0.255")), allocation.ofports["red-1"])

    ends = [emission.tunnel_end for emission in emissions if emission.port == TUNNEL]
    assert sorted(map(str, ends)) == sorted(host.vtep for id, host in hosts.items() if id != "h1")
    assert not any({"tun_dst", "tun_ipv6_dst"} <= set(emission.fields) for emission in emissions)
    assert {emission.tun_id for emission in emissions if emission.port == TUNNEL} == {5001}
    assert all(emission.tunnel_end is None for emission in emissions if emission.port != TUNNEL)
