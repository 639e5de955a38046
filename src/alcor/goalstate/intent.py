"""Intent as the goal state sees it: of each row only what packets need, with the indexes that find it.

Rows of the store are *projected* to facts at the entrance. A change that packets do not need (a description, a
device owner) is no change here: it costs one comparison and nothing is sent.

Memory: a port's fact shares its strings with the items made of it; identifiers that many ports have in common
(network, subnet, host name, group) are interned. Measured by `benchmarks`: see docs.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from sys import intern
from typing import Generic, TypeVar

import msgspec

from alcor.goalstate.item import Address, HostItem, LocalPort, NetworkItem, RegionItem, Route, SubnetItem
from alcor.model.change import Change
from alcor.model.host import HOST, Host
from alcor.model.network import NETWORK, Network
from alcor.model.port import PORT, Port
from alcor.model.resource import Entity
from alcor.model.subnet import SUBNET, Subnet

F = TypeVar("F")
R = TypeVar("R", bound=Entity)

ENTITIES: tuple[type[Entity], ...] = (Host, Network, Subnet, Port)
"""The kinds of rows the goal state is computed from; changes of all others are passed over."""


class PortFact(msgspec.Struct, frozen=True, gc=False):
    """A port: its item, wherever it will be held, and where it wants to be.

    `host_name`: the host it is bound to, if its binding did not fail; "" otherwise. `generation`: the row's
    `binding_generation`.
    """

    local: LocalPort
    host_name: str
    generation: int


def host_fact(row: Host) -> HostItem:
    """What packets need of a host."""
    return HostItem(
        id=row.id, name=row.name, vtep_addresses=row.vtep_addresses, token_digest=row.token_digest
    )


def network_fact(row: Network) -> NetworkItem:
    """What packets need of a network. A network without a segment has `segmentation_id` 0."""
    return NetworkItem(
        id=row.id,
        network_type=row.provider_network_type,
        segmentation_id=row.provider_segmentation_id or 0,
        mtu=row.mtu,
        admin_state_up=row.admin_state_up,
    )


def subnet_fact(row: Subnet) -> SubnetItem:
    """What packets need of a subnet. Name servers keep their order (it is the order of preference)."""
    routes = sorted((route.destination, route.nexthop) for route in row.host_routes)
    return SubnetItem(
        id=row.id,
        network_id=intern(row.network_id),
        cidr=row.cidr,
        gateway_ip=row.gateway_ip,
        dns_nameservers=row.dns_nameservers,
        host_routes=tuple(Route(destination, nexthop) for destination, nexthop in routes),
        enable_dhcp=row.enable_dhcp,
        ipv6_ra_mode=row.ipv6_ra_mode,
        ipv6_address_mode=row.ipv6_address_mode,
    )


def port_fact(row: Port) -> PortFact:
    """What packets need of a port. Its addresses keep the row's order (the first is the primary one)."""
    groups = row.security_groups
    return PortFact(
        LocalPort(
            id=row.id,
            network_id=intern(row.network_id),
            name=row.name,
            mac=row.mac_address,
            addresses=tuple(Address(intern(ip.subnet_id), ip.ip_address) for ip in row.fixed_ips),
            admin_state_up=row.admin_state_up,
            port_security_enabled=row.port_security_enabled,
            groups=None if groups is None else tuple(sorted({intern(group) for group in groups})),
        ),
        intern(row.binding_host_id) if row.binding_vif_type == "ovs" else "",
        row.binding_generation,
    )


@dataclass(frozen=True, slots=True)
class Step(Generic[F]):
    """What one turn did to one fact, whatever lay between. `remade`: it was gone in between."""

    id: str
    before: F | None
    after: F | None
    remade: bool = False


@dataclass(slots=True)
class Steps:
    """The steps of one turn, by kind of fact; a fact that ends as it began has none."""

    hosts: list[Step[HostItem]] = field(default_factory=list)
    networks: list[Step[NetworkItem]] = field(default_factory=list)
    subnets: list[Step[SubnetItem]] = field(default_factory=list)
    ports: list[Step[PortFact]] = field(default_factory=list)


@dataclass(slots=True)
class _Net:
    """The end of one row's changes inside a turn."""

    row: Entity | None = None
    remade: bool = False


@dataclass(slots=True)
class Intent:
    """All facts, by id, and the indexes that keep a change's cost in proportion to the change.

    Law: host names are unique in every state between turns (the store claims them).
    `host_ids`: host name → id. `ports_at`: host name → ids of the ports that want to be there.
    """

    region: RegionItem
    hosts: dict[str, HostItem] = field(default_factory=dict)
    networks: dict[str, NetworkItem] = field(default_factory=dict)
    subnets: dict[str, SubnetItem] = field(default_factory=dict)
    ports: dict[str, PortFact] = field(default_factory=dict)
    host_ids: dict[str, str] = field(default_factory=dict)
    ports_at: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, region: RegionItem, rows: Iterable[Entity]) -> "Intent":
        """The intent of a whole region. Cost: O(rows), about 3 µs each."""
        intent = cls(region)
        for row in rows:
            if isinstance(row, Port):
                intent.ports[row.id] = port = port_fact(row)
                intent._index_port(None, port)
            elif isinstance(row, Host):
                intent.hosts[row.id] = host_fact(row)
                intent.host_ids[row.name] = row.id
            elif isinstance(row, Network):
                intent.networks[row.id] = network_fact(row)
            elif isinstance(row, Subnet):
                intent.subnets[row.id] = subnet_fact(row)
        return intent

    def host_of(self, port: PortFact) -> HostItem | None:
        """Where a port is placed: the host it names, if its binding did not fail and there is such a host."""
        id = self.host_ids.get(port.host_name)
        return None if id is None else self.hosts[id]

    def ports_named(self, host_name: str) -> Iterator[PortFact]:
        """The ports that want to be on the host of this name, whether it exists or not."""
        return (self.ports[id] for id in self.ports_at.get(host_name, ()))

    def advance(self, changes: Iterable[Change]) -> Steps:
        """Take in changes of one or more cuts, in order; only where each row ends counts. Cost: O(changes).

        The changes' own `before` is not read: what is known here decides, so that a change seen twice or a
        deletion of what was never seen does nothing.
        """
        ends: dict[str, dict[str, _Net]] = {HOST.name: {}, NETWORK.name: {}, SUBNET.name: {}, PORT.name: {}}
        for change in changes:
            rows = ends.get(change.kind)
            if rows is None:
                continue
            net = rows.setdefault(change.id, _Net())
            net.remade = net.remade or change.after is None
            net.row = change.after
        steps = Steps()
        for id, net in ends[HOST.name].items():
            _settle(self.hosts, id, _only(Host, net, host_fact), net.remade, steps.hosts)
        for id, net in ends[NETWORK.name].items():
            _settle(self.networks, id, _only(Network, net, network_fact), net.remade, steps.networks)
        for id, net in ends[SUBNET.name].items():
            _settle(self.subnets, id, _only(Subnet, net, subnet_fact), net.remade, steps.subnets)
        for id, net in ends[PORT.name].items():
            _settle(self.ports, id, _only(Port, net, port_fact), net.remade, steps.ports)
        self._index_hosts(steps.hosts)
        for step in steps.ports:
            self._index_port(step.before, step.after)
        return steps

    def _index_hosts(self, steps: Sequence[Step[HostItem]]) -> None:
        # All old names go before any new one comes: a name may pass from one host to another in one turn.
        for step in steps:
            if step.before is not None:
                del self.host_ids[step.before.name]
        for step in steps:
            if step.after is not None:
                self.host_ids[step.after.name] = step.id

    def _index_port(self, before: PortFact | None, after: PortFact | None) -> None:
        old = before.host_name if before is not None else ""
        new = after.host_name if after is not None else ""
        if old == new:
            return
        if old and before is not None:
            wanting = self.ports_at[old]
            wanting.discard(before.local.id)
            if not wanting:
                del self.ports_at[old]
        if new and after is not None:
            self.ports_at.setdefault(new, set()).add(after.local.id)


def _only(entity: type[R], net: _Net, fact: Callable[[R], F]) -> F | None:
    """The fact of the row a net change ends with; None if it ends with nothing."""
    if net.row is None:
        return None
    if not isinstance(net.row, entity):
        raise TypeError(f"a change of a {entity.__name__.lower()} carries a {type(net.row).__name__}")
    return fact(net.row)


def _settle(table: dict[str, F], id: str, after: F | None, remade: bool, steps: list[Step[F]]) -> None:
    """Bring one fact to `after` and note the step, if it is one."""
    before = table.get(id)
    remade = remade and before is not None and after is not None
    if before == after and not remade:
        return
    if after is None:
        del table[id]
    else:
        table[id] = after
    steps.append(Step(id, before, after, remade))
