"""BGP: which hosts speak, with whom, and which prefixes they advertise.

Every gateway host that reaches a network of the speaker speaks, and all of them say the same: the next hop of a prefix
is the gateway's own address on the external network, which the host that serves the gateway answers for. So it is no
matter to BGP which host that is.

A subnet counts if its pool is of an address scope that a subnet of the speaker's networks is of as well: within a scope
no address means two things, so its routes may leave the region untranslated.
"""

from collections.abc import Iterable, Iterator

from alcor.goalstate.bgp_item import BgpPeerItem, BgpRoute, BgpRoutesItem, BgpSpeakerItem
from alcor.goalstate.derive.router import reaches
from alcor.goalstate.fact import BgpSpeakerFact, RouterFact
from alcor.goalstate.intent import By, Intent


def version_of(address: str) -> int:
    """Of an address or prefix in canonical text."""
    return 6 if ":" in address else 4


def speaker_item(fact: BgpSpeakerFact, peers: Iterable[BgpPeerItem]) -> BgpSpeakerItem:
    """The item of a speaker."""
    return BgpSpeakerItem(
        id=fact.id, local_as=fact.local_as, ip_version=fact.ip_version, peers=tuple(sorted(peers))
    )


def routes_item(speaker_id: str, router_id: str, routes: Iterable[BgpRoute]) -> BgpRoutesItem | None:
    """The item of what a speaker advertises of a router, if it is anything."""
    found = tuple(sorted(set(routes)))
    if not found:
        return None
    return BgpRoutesItem(
        id=f"{speaker_id}/{router_id}", speaker_id=speaker_id, router_id=router_id, routes=found
    )


def speaker(intent: Intent, id: str) -> Iterator[tuple[str, BgpSpeakerItem]]:
    """A speaker, for each host that speaks."""
    fact = intent.bgp_speakers.get(id)
    if fact is None:
        return
    peers = (intent.bgp_peers.get(peer_id) for peer_id in fact.peers)
    item = speaker_item(fact, (one.peer for one in peers if one is not None))
    for host_id in _hosts(intent, fact):
        yield host_id, item


def routes(intent: Intent, router_id: str) -> Iterator[tuple[str, BgpRoutesItem]]:
    """What each speaker advertises of a router, for each host that speaks.

    Cost: O(the router's floating IPs, interfaces and gateways, and the subnets of the speaker's networks).
    """
    router = intent.routers.get(router_id)
    if router is None or not router.admin_state_up or not intent.bgp_speakers:
        return
    hops: dict[str, list[str]] = {}
    for port_id in router.gateway_ports:
        port = intent.ports.get(port_id)
        if port is not None and port.is_gateway:
            mine = (
                one.ip for one in port.local.addresses if _is_on(intent, one.subnet_id, port.local.network_id)
            )
            hops.setdefault(port.local.network_id, []).extend(mine)
    for id in dict.fromkeys(
        id for network_id in hops for id in intent.bgp_speakers.find((By.NETWORK, network_id))
    ):
        fact = intent.bgp_speakers[id]
        ways = {network_id: _of(fact, ips) for network_id, ips in hops.items() if network_id in fact.networks}
        found = [*_floating(intent, fact, router, ways), *_subnets(intent, fact, router, ways)]
        item = routes_item(id, router_id, found)
        if item is not None:
            for host_id in _hosts(intent, fact):
                yield host_id, item


def _hosts(intent: Intent, fact: BgpSpeakerFact) -> Iterator[str]:
    networks = [intent.networks[id] for id in fact.networks if id in intent.networks]
    for host in intent.hosts.found((By.IS_GATEWAY, True)):
        if any(reaches(host, network.item.physical_network) for network in networks):
            yield host.item.id


def _is_on(intent: Intent, subnet_id: str, network_id: str) -> bool:
    subnet = intent.subnets.get(subnet_id)
    return subnet is not None and subnet.network_id == network_id


def _of(fact: BgpSpeakerFact, ips: list[str]) -> list[str]:
    return [ip for ip in ips if version_of(ip) == fact.ip_version]


def _floating(
    intent: Intent, fact: BgpSpeakerFact, router: RouterFact, ways: dict[str, list[str]]
) -> Iterator[BgpRoute]:
    if not fact.floating_ips:
        return
    for one in intent.floating_ips.found((By.ROUTER, router.id)):
        port = intent.ports.get(one.floating_port_id)
        if port is not None and version_of(one.ip) == fact.ip_version == 4:
            for hop in ways.get(one.network_id, ()):
                yield BgpRoute(f"{one.ip}/32", hop, port.local.mac)


def _subnets(
    intent: Intent, fact: BgpSpeakerFact, router: RouterFact, ways: dict[str, list[str]]
) -> Iterator[BgpRoute]:
    if not fact.subnets:
        return
    outside = (one for id in fact.networks for one in intent.pooled_subnets.found((By.NETWORK, id)))
    scopes = {_scope(intent, one.id) for one in outside if version_of(one.cidr) == fact.ip_version} - {None}
    if not scopes:
        return
    for port in intent.ports.found((By.INTERFACE_OF, router.id)):
        for address in port.local.addresses:
            subnet = intent.pooled_subnets.get(address.subnet_id)
            if subnet is None or subnet.network_id in fact.networks:
                continue
            if version_of(subnet.cidr) == fact.ip_version and _scope(intent, subnet.id) in scopes:
                for hops in ways.values():
                    yield from (BgpRoute(subnet.cidr, hop) for hop in hops)


def _scope(intent: Intent, subnet_id: str) -> str | None:
    """The address scope of a subnet that is from a pool; None if the pool has none."""
    pool = intent.pools.get(intent.pooled_subnets[subnet_id].pool_id)
    return pool.address_scope_id if pool is not None else None
