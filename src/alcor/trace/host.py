"""One host as intent has it: its flows on a simulated switch, with who is behind each port and rule."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, assert_never

from alcor.goalstate.item import Item, Key, LocalPort
from alcor.goalstate.scope import Scope
from alcor.model.address import Ip, ip_int, ip_version
from alcor.pipeline.compile import groups, unit_rules, units
from alcor.pipeline.flow import Field, Flow, FlowKey
from alcor.pipeline.resolve import resolve
from alcor.pipeline.simulate import Emission, SimulatedTables, Step, TunnelMetadata
from alcor.pipeline.unit import Rule, Unit, stamp
from alcor.pipeline.view import Allocation, View
from alcor.trace.question import Exit

_TUNNELS = ("vxlan", "geneve", "gre")
_METADATA_OFPORT = 50
_PROVIDERS_FROM, _PROBES_FROM, _PORTS_FROM = 100, 1_000, 10_000
NEXT_HOP_MAC = "02:00:00:00:00:fe"
"""Stands for whatever MAC an outer next hop has: only its host's agent knows."""


class Place(Enum):
    """What is on the other side of a switch's port."""

    PORT = "port"
    TUNNEL = "tunnel"
    PROVIDER = "provider"
    AGENT = "agent"
    METADATA = "metadata"


class End(NamedTuple):
    """One side of a switch: where a packet enters or leaves. `to`: port id, VTEP or physical network.

    `network_type`, `tun_id`: of a tunnel.
    """

    place: Place
    to: str = ""
    network_type: str = ""
    tun_id: int = 0


class Out(NamedTuple):
    """A packet that leaves. `table`: where it was when it did."""

    end: End
    frame: bytes
    table: int
    is_back: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """One look-up, and what is behind the flow that matched. None: nothing matched."""

    table: int
    flow: Flow | None
    unit: Unit | None
    about: str


class TracedHost:
    """The flows of one host, its numbers made up: none of them is an agent's."""

    def __init__(
        self, host_id: str, states: Mapping[Scope, Mapping[Key, Item]], outer: Mapping[str, str]
    ) -> None:
        """`outer`: addresses on external networks and their MACs, which agents find out by asking."""
        self.id = host_id
        self.view: View = resolve(states, host_id)
        self.name = self.view.host.name if self.view.host is not None else host_id
        self.allocation = _numbers(self.view)
        self.tables = SimulatedTables((), groups(self.view, self.allocation).values())
        self._behind: dict[FlowKey, tuple[Unit, Rule]] = {}
        self.learn(outer)
        self._tunnel_types = {ofport: type for type, ofport in self.allocation.tunnels.items()}
        self._tunnel_types |= {ofport: type for (type, _), ofport in self.allocation.probes.items()}
        self._probed = {ofport: vtep for (_, vtep), ofport in self.allocation.probes.items()}
        self._physical = {ofport: name for name, ofport in self.allocation.providers.items()}

    def learn(self, outer: Mapping[str, str]) -> None:
        """Outer addresses are known now; connections that packets opened stay. Cost: all flows of the host."""
        for network_id in _outer_networks(self.view):
            for ip, mac in outer.items():
                self.allocation.next_hops[network_id, ip] = mac
        for unit in units(self.view):
            rules = unit_rules(unit, self.view, self.allocation)
            for rule, flow in zip(rules, stamp(unit, rules), strict=True):
                if self.tables.flows.get(flow.key) != flow:
                    self.tables.put(flow)
                self._behind[flow.key] = unit, rule

    def local_port(self, port_id: str) -> LocalPort | None:
        """A port of this host, open or closed."""
        return self.view.ports.get(port_id) or self.view.closed.get(port_id)

    def vtep_towards(self, vtep: str) -> str | None:
        """This host's own tunnel end of the family of another one."""
        own = self.view.host.vtep_addresses if self.view.host is not None else ()
        return next((each for each in own if ip_version(Ip(each)) == ip_version(Ip(vtep))), None)

    def send(self, frame: bytes, end: End) -> tuple[list[Out], list[Decision]]:
        """What a packet that enters at `end` comes to, and every look-up. Raises: KeyError if there is no such end."""
        emissions, steps = self.tables.follow(frame, self._ofport(end), _metadata(end))
        return [self._out(each) for each in emissions], [self._decision(step) for step in steps]

    def _ofport(self, end: End) -> int:
        match end.place:
            case Place.PORT:
                return self.allocation.ofports[end.to]
            case Place.TUNNEL:
                # A probe's tunnel key is 0, which no network has: what belongs to one enters by the tunnel port.
                return self.allocation.tunnels[end.network_type]
            case Place.PROVIDER:
                return self.allocation.providers[end.to]
            case Place.METADATA:
                return self.allocation.metadata_ofport
            case Place.AGENT:
                raise KeyError("nothing enters a switch from its agent")
            case _:
                assert_never(end.place)

    def _out(self, emission: Emission) -> Out:
        came_by = emission.fields.get(Field.IN_PORT.value[0], 0)
        return Out(self._end(emission), emission.frame, emission.table, emission.port == came_by)

    def _end(self, emission: Emission) -> End:
        port = emission.port
        if port is None:
            return End(Place.AGENT)
        if port == _METADATA_OFPORT:
            return End(Place.METADATA)
        if port in self._physical:
            return End(Place.PROVIDER, self._physical[port])
        if port in self._tunnel_types:
            vtep = self._probed.get(port) or str(emission.tunnel_end or "")
            return End(Place.TUNNEL, vtep, self._tunnel_types[port], emission.tun_id)
        return End(Place.PORT, self._port_behind(port, emission))

    def _port_behind(self, ofport: int, emission: Emission) -> str:
        """The port of an ofport; of a trunk's, the one whose key the packet carries."""
        key = emission.fields.get(Field.REG15.value[0], 0)
        behind = [id for id, number in self.allocation.ofports.items() if number == ofport]
        return next((id for id in behind if self.allocation.port_keys.get(id) == key), behind[0])

    def _decision(self, step: Step) -> Decision:
        if step.flow is None:
            return Decision(step.table, None, None, "")
        unit, rule = self._behind[step.flow.key]
        return Decision(step.table, step.flow, unit, rule.about)


def exit_of(out: Out) -> Exit:
    """A packet's exit in the form that is compared with a real switch's."""
    if out.is_back:
        return Exit("back")
    return Exit(out.end.place.value, out.end.to)


def _metadata(end: End) -> TunnelMetadata | None:
    if end.place is not Place.TUNNEL:
        return None
    number, version = ip_int(Ip(end.to)), ip_version(Ip(end.to))
    return TunnelMetadata(
        end.tun_id, ipv4_src=number if version == 4 else 0, ipv6_src=number if version == 6 else 0
    )


def _numbers(view: View) -> Allocation:
    ports = sorted([*view.ports, *view.closed])
    known = view.ports | view.closed
    ofports = {id: _PORTS_FROM + n for n, id in enumerate(ports) if known[id].trunk is None}
    for id in ports:
        trunk = known[id].trunk
        if trunk is not None and trunk.port_id in ofports:
            ofports[id] = ofports[trunk.port_id]
    mappings = view.host.bridge_mappings if view.host is not None else ()
    vteps = sorted(set(_gateway_vteps(view)))
    return Allocation(
        port_keys={id: 1 + n for n, id in enumerate(ports)},
        network_keys={id: 1 + n for n, id in enumerate(sorted(view.networks))},
        router_keys={id: 1 + n for n, id in enumerate(sorted(view.routers))},
        ofports=ofports,
        tunnels={type: 1 + n for n, type in enumerate(_TUNNELS)},
        probes={
            (type, vtep): _PROBES_FROM + len(_TUNNELS) * n + m
            for n, vtep in enumerate(vteps)
            for m, type in enumerate(_TUNNELS)
        },
        providers={each.physical_network: _PROVIDERS_FROM + n for n, each in enumerate(mappings)},
        metadata_ofport=_METADATA_OFPORT,
        next_hops={
            (gateway.network_id, address.gateway_ip): NEXT_HOP_MAC
            for router in view.routers.values()
            for gateway in router.gateways
            for address in gateway.addresses
            if address.gateway_ip is not None
        },
    )


def _outer_networks(view: View) -> set[str]:
    return {gateway.network_id for router in view.routers.values() for gateway in router.gateways}


def _gateway_vteps(view: View) -> Iterator[str]:
    own = view.host.vtep_addresses if view.host is not None else ()
    for router in view.routers.values():
        yield from (each.vtep for each in router.gateway_hosts if each.vtep not in own)
