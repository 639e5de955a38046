"""A site for packet cases: rows of intent, compiled to goal state, to flows, and run on simulated switches."""

from collections import deque
from dataclasses import dataclass, field, replace

import msgspec

from alcor.goalstate.compile import compile as compile_states
from alcor.goalstate.fact import ClaimFact
from alcor.goalstate.intent import Intent
from alcor.goalstate.item import ItemKind, RegionItem, State
from alcor.goalstate.scope import Scope, ScopeKind, host_scope, network_scope
from alcor.model.address import Ip, ip_int, ip_version
from alcor.model.address_claim import AddressClaim
from alcor.model.host import Host
from alcor.model.port import Port
from alcor.model.resource import Entity
from alcor.model.security_group import SecurityGroup
from alcor.model.security_group_rule import SecurityGroupRule
from alcor.pipeline.compile import flows, groups
from alcor.pipeline.resolve import resolve
from alcor.pipeline.simulate import Emission, SimulatedTables, TunnelMetadata
from alcor.pipeline.view import Allocation, View

RESPONDER_MAC = "fe:00:00:00:00:01"
A_REGION = RegionItem(id="region", responder_mac=RESPONDER_MAC, dhcp_lease_s=86_400)
TUNNEL = 1
"""The OpenFlow port of each host's VXLAN tunnels."""
TUNNELS = {"vxlan": TUNNEL, "geneve": 3, "gre": 4}
"""The OpenFlow ports of each host's tunnels, by type."""
OPEN = "open"
"""A security group that every site has: it lets everything through, in both directions."""
OPEN_ROWS = (
    SecurityGroup(id=OPEN),
    *(
        SecurityGroupRule(
            id=f"{OPEN}-{way}-{version}", security_group_id=OPEN, direction=way, ethertype=version
        )
        for way in ("ingress", "egress")
        for version in ("IPv4", "IPv6")
    ),
)
SERVICE = 2
"""The OpenFlow port of each host's metadata service and name server."""
WIRES_FROM = 11
"""The OpenFlow ports of each host's provider bridges, in the order of the physical networks' names."""


@dataclass(frozen=True, eq=False)
class Site:
    """Rows of intent (names are ids), and what is so on the hosts.

    `unplugged`: ports without a VIF. `closed`: ports whose network the host does not know for certain.
    `lazy`: scopes (as text) that hosts hold on demand, relays excepted; `held`: (host, item id), what they hold of
    them; `relay_above`, `flood_above`: as of the region; `listed`: hosts that know the others all the same.
    `claims`: what ports were seen to claim. `without_tunnels`: hosts that have no tunnel port. `lost_vteps`: of hosts
    that are down. `next_hops`: what agents have found out, ((external network, address), MAC) each.
    """

    rows: tuple[Entity, ...]
    unplugged: frozenset[str] = frozenset()
    closed: frozenset[str] = frozenset()
    without_tunnels: frozenset[str] = frozenset()
    lost_vteps: frozenset[str] = frozenset()
    next_hops: tuple[tuple[tuple[str, str], str], ...] = ()
    claims: tuple[ClaimFact, ...] = ()
    lazy: frozenset[str] = frozenset()
    listed: frozenset[str] = frozenset()
    held: frozenset[tuple[str, str]] = frozenset()
    relay_above: int = 0
    flood_above: int = 0

    def but(self, id: str, **fields: object) -> "Site":
        """The same with other values in one row."""
        assert any(row.id == id for row in self.rows)
        return replace(
            self,
            rows=tuple(msgspec.structs.replace(row, **fields) if row.id == id else row for row in self.rows),
        )

    def and_row(self, row: Entity) -> "Site":
        """The same with one row more."""
        return replace(self, rows=(*self.rows, row))

    def without(self, id: str) -> "Site":
        """The same without one row."""
        assert any(row.id == id for row in self.rows)
        return replace(self, rows=tuple(row for row in self.rows if row.id != id))

    def states(self) -> dict[Scope, State]:
        """The goal state of the whole site."""
        claims = [
            AddressClaim(
                id=claim.id,
                network_id=claim.network_id,
                ip=claim.ip,
                mac=claim.mac,
                port_id=claim.port_id,
                at_ms=0,
            )
            for claim in self.claims
        ]
        region = msgspec.structs.replace(A_REGION, relay_above=self.relay_above, flood_above=self.flood_above)
        return compile_states(Intent.of(region, (*self.rows, *claims, *OPEN_ROWS)))

    def held_by(self, host_id: str, states: dict[Scope, State]) -> dict[Scope, State]:
        """What of the goal state a host holds; all of it, unless a site says otherwise."""
        part = {
            scope: {
                key: item for key, item in states.get(scope, {}).items() if (host_id, key.id) in self.held
            }
            for scope in self.lazy_at(host_id, states)
        }
        if host_id in self.listed:
            for scope in [scope for scope in states if scope.kind is ScopeKind.HOSTS]:
                part[network_scope(scope.id)] = states[network_scope(scope.id)] | states[scope]
        return states | part

    def lazy_at(self, host_id: str, states: dict[Scope, State]) -> set[Scope]:
        """The scopes that a host holds on demand."""
        whole = {key.id for key in states.get(host_scope(host_id), {}) if key.kind is ItemKind.RELAY}
        found = {Scope(ScopeKind(kind), id) for kind, _, id in (name.partition(":") for name in self.lazy)}
        return {scope for scope in found if scope.kind is not ScopeKind.NEIGHBOURS or scope.id not in whole}

    def view_of(self, host_id: str, states: dict[Scope, State]) -> View:
        """What a host knows."""
        held = self.held_by(host_id, states)
        return resolve(held, host_id, self.closed, self.lazy_at(host_id, states))

    @property
    def ports(self) -> list[Port]:
        """All rows of ports."""
        return [row for row in self.rows if isinstance(row, Port)]

    def port(self, id: str) -> Port:
        """One port's row."""
        return next(row for row in self.rows if isinstance(row, Port) and row.id == id)

    @property
    def hosts(self) -> dict[str, Host]:
        """The hosts by id."""
        return {row.id: row for row in self.rows if isinstance(row, Host)}


def allocation_of(site: Site, host_id: str, view: View) -> Allocation:
    """Numbers that differ from host to host, as they are in life: nothing may rest on their being equal."""
    first = 100 * (1 + sorted(site.hosts).index(host_id))
    ports = sorted([*view.ports, *view.closed])
    is_down = not site.lost_vteps.isdisjoint(site.hosts[host_id].vtep_addresses)
    return Allocation(
        port_keys={id: first + n for n, id in enumerate(ports)},
        network_keys={id: 7 * first + n for n, id in enumerate(sorted(view.networks))},
        router_keys={id: 3 * first + n for n, id in enumerate(sorted(view.routers))},
        ofports={id: 1000 + first + n for n, id in enumerate(ports) if id not in site.unplugged},
        tunnels={} if is_down or host_id in site.without_tunnels else dict(TUNNELS),
        metadata_ofport=SERVICE,
        providers={} if is_down else providers_of(view),
        lost_vteps=site.lost_vteps,
        next_hops=dict(site.next_hops),
    )


def providers_of(view: View) -> dict[str, int]:
    """The provider bridges of a host by physical network."""
    mappings = view.host.bridge_mappings if view.host is not None else ()
    names = sorted(mapping.physical_network for mapping in mappings)
    return {name: WIRES_FROM + n for n, name in enumerate(names)}


@dataclass
class Outcome:
    """Where one frame went. `delivered`: (port id, frame) as often as it arrived; `served`: (host id, frame) for the
    host's own services; `outside`: (physical network, frame) for all else that is on a provider's wire.
    """

    delivered: list[tuple[str, bytes]] = field(default_factory=list)
    punted: list[tuple[str, Emission]] = field(default_factory=list)
    served: list[tuple[str, bytes]] = field(default_factory=list)
    outside: list[tuple[str, bytes]] = field(default_factory=list)


class Fabric:
    """All hosts of a site with their simulated switches, connected by tunnels."""

    def __init__(self, site: Site) -> None:
        states = site.states()
        self.views = {id: site.view_of(id, states) for id in site.hosts}
        self.allocations = {id: allocation_of(site, id, view) for id, view in self.views.items()}
        self.switches = {
            id: SimulatedTables(
                flows(view, self.allocations[id]).values(), groups(view, self.allocations[id]).values()
            )
            for id, view in self.views.items()
        }
        self._by_vtep = {vtep: host.id for host in site.hosts.values() for vtep in host.vtep_addresses}
        self._vteps = {host.id: host.vtep_addresses for host in site.hosts.values()}
        self._ports = {
            (host_id, ofport): port_id
            for host_id, allocation in self.allocations.items()
            for port_id, ofport in allocation.ofports.items()
        }

    def become(self, site: Site) -> None:
        """Have the flows of another site, by difference; connections stay. Its ports and networks are the same."""
        states = site.states()
        for id, switch in self.switches.items():
            view = site.view_of(id, states)
            assert allocation_of(site, id, view) == self.allocations[id], "the numbers would change"
            self.views[id] = view
            desired = flows(view, self.allocations[id])
            for key in [key for key in switch.flows if key not in desired]:
                switch.remove(key)
            for key, flow in desired.items():
                if switch.flows.get(key) != flow:
                    switch.put(flow)

    def send(self, port_id: str, frame: bytes) -> Outcome:
        """Send a frame from a VM, and follow it through all hosts."""
        (host_id, in_port) = next(place for place, id in self._ports.items() if id == port_id)
        return self._follow([(host_id, in_port, frame, None)])

    def send_from_outside(self, physical_network: str, frame: bytes) -> Outcome:
        """Send a frame on a provider's wire, and follow it through all hosts."""
        return self._follow([(*end, frame, None) for end in self._ends(physical_network)])

    def _follow(self, arrivals: list[tuple[str, int, bytes, TunnelMetadata | None]]) -> Outcome:
        outcome = Outcome()
        pending = deque(arrivals)
        while pending:
            host_id, in_port, data, tunnel = pending.popleft()
            for emission in self.switches[host_id].process(data, in_port, tunnel):
                if emission.port is None:
                    outcome.punted.append((host_id, emission))
                elif emission.port == SERVICE:
                    outcome.served.append((host_id, emission.frame))
                elif emission.port in TUNNELS.values():
                    assert emission.tunnel_end is not None
                    target = self._by_vtep[emission.tunnel_end]
                    if target in self._tunnelled:
                        metadata = self._metadata(host_id, emission)
                        pending.append((target, emission.port, emission.frame, metadata))
                elif (wire := self._wire(host_id, emission.port)) is not None:
                    # A hub: who does not know what to do with it drops it.
                    outcome.outside.append((wire, emission.frame))
                    others = (end for end in self._ends(wire) if end[0] != host_id)
                    pending.extend((*end, emission.frame, None) for end in others)
                else:
                    outcome.delivered.append((self._ports[host_id, emission.port], emission.frame))
        return outcome

    def _wire(self, host_id: str, ofport: int) -> str | None:
        providers = self.allocations[host_id].providers
        return next((name for name, port in providers.items() if port == ofport), None)

    def _ends(self, physical_network: str) -> list[tuple[str, int]]:
        """(host id, port) of each host on a wire."""
        return [
            (id, allocation.providers[physical_network])
            for id, allocation in self.allocations.items()
            if physical_network in allocation.providers
        ]

    @property
    def _tunnelled(self) -> set[str]:
        return {id for id, allocation in self.allocations.items() if allocation.tunnels}

    def _metadata(self, host_id: str, emission: Emission) -> TunnelMetadata:
        assert emission.tunnel_end is not None
        version = ip_version(emission.tunnel_end)
        # Without an address of the end's family there is no such packet: the flows must not ask for it.
        number = next(ip_int(Ip(own)) for own in self._vteps[host_id] if ip_version(Ip(own)) == version)
        return TunnelMetadata(
            emission.tun_id,
            ipv4_src=number if version == 4 else 0,
            ipv6_src=number if version == 6 else 0,
        )
