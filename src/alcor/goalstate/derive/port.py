"""What a port is to its host, to the rest of its network, and to its security groups."""

from collections.abc import Iterator

import msgspec

from alcor.goalstate.fact import HostFact, PortFact
from alcor.goalstate.intent import By, Intent
from alcor.goalstate.item import Claim, LocalPort, Neighbour, NetworkHost, OpenHost, TrunkParent
from alcor.goalstate.project import cidr_of
from alcor.goalstate.security_item import Member


def vtep_of(host: HostFact) -> str | None:
    """Where tunnels to this host end: its first address. None if it has none: then its ports are nobody's
    neighbours, because nobody could send to them."""
    addresses = host.item.vtep_addresses
    return addresses[0] if addresses else None


def neighbour(port: PortFact, host: HostFact) -> Neighbour | None:
    """A placed port as the rest of its network sees it. The order of its addresses means nothing there."""
    vtep = vtep_of(host)
    if vtep is None:
        return None
    local = port.local
    return Neighbour(
        id=local.id,
        mac=local.mac,
        ips=tuple(sorted([address.ip for address in local.addresses])),
        host_id=host.item.id,
        vtep=vtep,
        groups=local.groups,
        dns_name=local.dns_name,
    )


def network_host(host: HostFact) -> NetworkHost | None:
    """A host as the networks with ports on it see it."""
    vtep = vtep_of(host)
    return None if vtep is None else NetworkHost(id=host.item.id, vtep=vtep)


def open_host(host: HostFact) -> OpenHost | None:
    """A host as the networks with ports without port security on it see it."""
    vtep = vtep_of(host)
    return None if vtep is None else OpenHost(id=host.item.id, vtep=vtep)


def groups_enforced(local: LocalPort) -> tuple[str, ...]:
    """The groups that a port is a member of; they mean nothing without port security."""
    return local.groups or () if local.port_security_enabled else ()


def member(local: LocalPort) -> Member:
    """A port as a member of a group."""
    if len(local.addresses) == 1 and not local.pairs:
        return Member(id=local.id, cidrs=(cidr_of(local.addresses[0].ip),))
    cidrs = {cidr_of(address.ip) for address in local.addresses} | {pair.cidr for pair in local.pairs}
    return Member(id=local.id, cidrs=tuple(sorted(cidrs)))


def members(port: PortFact) -> Iterator[tuple[str, Member]]:
    """A port as a member of each of its groups, wherever it is."""
    groups = groups_enforced(port.local)
    if groups:
        item = member(port.local)
        for group in groups:
            yield group, item


def routers_of(intent: Intent, network_id: str) -> tuple[str, ...]:
    """The routers a packet of the network may meet, sorted: those with an interface on it that exist.

    If there is none and the network is peered, the network itself stands for one.
    """
    interfaces = intent.ports.found((By.INTERFACE_ON, network_id))
    found = {port.router_id for port in interfaces if port.router_id is not None}
    routers = tuple(sorted(id for id in found if id in intent.routers))
    if not routers and intent.peerings.find((By.NETWORK, network_id)):
        return (network_id,)
    return routers


def local_port(intent: Intent, port: PortFact, routers: tuple[str, ...] | None = None) -> LocalPort:
    """A port as its host needs it. `routers`: those of its network, if they are known. Cost: O(these)."""
    local = port.local
    if routers is None:
        routers = routers_of(intent, local.network_id)
    network = intent.networks.get(local.network_id)
    qos = local.qos
    if qos is None and network is not None and port.takes_network_qos:
        qos = network.qos
    trunk = _trunk(intent, local.id)
    if not routers and qos == local.qos and trunk is None:
        return local
    return msgspec.structs.replace(local, routers=routers, qos=qos, trunk=trunk)


def _trunk(intent: Intent, port_id: str) -> TrunkParent | None:
    trunks = intent.trunks.find((By.SUB_PORT, port_id)) if intent.trunks else ()
    if not trunks:
        return None
    trunk = intent.trunks[min(trunks)]
    vlan = next(one.vlan for one in trunk.sub_ports if one.port_id == port_id)
    return TrunkParent(trunk.port_id, vlan)


def local_ports(intent: Intent, port: PortFact) -> Iterator[tuple[str, LocalPort]]:
    """The port for each host that must know it: where it is, and where it is about to be."""
    placed_on = intent.host_of(port)
    standby = [intent.host_named(name) for name in port.standby]
    if placed_on is None and not any(standby):
        return
    item = local_port(intent, port)
    if placed_on is not None:
        yield placed_on.item.id, item
    for host in standby:
        if host is not None and host is not placed_on:
            yield host.item.id, msgspec.structs.replace(item, is_active=False)


def claim(intent: Intent, id: str) -> Iterator[tuple[str, Claim]]:
    """A claimed address, while the port that claimed it is placed on its network."""
    fact = intent.claims.get(id)
    port = intent.ports.get(fact.port_id) if fact is not None else None
    host = intent.host_of(port) if port is not None else None
    vtep = vtep_of(host) if host is not None else None
    if fact is None or port is None or host is None or vtep is None:
        return
    if port.local.network_id == fact.network_id:
        yield (
            fact.network_id,
            Claim(id=fact.ip, mac=fact.mac, port_id=fact.port_id, host_id=host.item.id, vtep=vtep),
        )
