"""Builders and fakes for the transport: items, a publisher of scopes, strategies for property tests."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from alcor.bus.interface import DataplaneBus, Envelope, Heads, NcmBus, News, Publication, Put, ScopeUpdate
from alcor.goalstate.bgp_item import BgpPeerItem, BgpRoute, BgpRoutesItem, BgpSpeakerItem
from alcor.goalstate.item import (
    Address,
    AddressPair,
    BridgeMapping,
    Claim,
    DhcpOption,
    HostItem,
    Item,
    Key,
    Limit,
    LocalPort,
    Neighbour,
    NetworkHost,
    NetworkItem,
    NetworkRelays,
    OpenHost,
    QosItem,
    RegionItem,
    RelayItem,
    ReleaseItem,
    RescueItem,
    Route,
    SubnetItem,
    TrunkParent,
    key_of,
)
from alcor.goalstate.router_item import (
    FloatingIpItem,
    Forward,
    GatewayHost,
    GatewayItem,
    InterfaceAddress,
    RouterGateway,
    RouterInterface,
    RouterItem,
    RouterRoute,
)
from alcor.goalstate.scope import SHARDS, Scope, neighbours_scope, shard_of
from alcor.goalstate.security_item import (
    AclRule,
    FirewallAction,
    FirewallItem,
    FirewallRuleItem,
    GroupRule,
    Member,
    NetworkAclItem,
    Prefix,
    RulesItem,
)

EPOCH = 7


def a_neighbour(id: str = "port-1", **changes: object) -> Neighbour:
    """A neighbour; `changes` by field name."""
    fields: dict[str, object] = {
        "mac": "fa:16:3e:00:00:01",
        "ips": ("10.0.0.5",),
        "host_id": "host-1",
        "vtep": "192.0.2.1",
        "groups": (),
    }
    return Neighbour(id=id, **(fields | changes))  # type: ignore[arg-type]  # a builder of known fields


def a_local_port(id: str = "port-1", network_id: str = "net-1", **changes: object) -> LocalPort:
    """A bound port; `changes` by field name."""
    fields: dict[str, object] = {
        "name": "",
        "mac": "fa:16:3e:00:00:01",
        "addresses": (Address("subnet-1", "10.0.0.5"),),
        "admin_state_up": True,
        "port_security_enabled": True,
        "groups": (),
    }
    return LocalPort(id=id, network_id=network_id, **(fields | changes))  # type: ignore[arg-type]  # as above


def a_network(id: str = "net-1", **changes: object) -> NetworkItem:
    """An overlay network; `changes` by field name."""
    fields: dict[str, object] = {
        "network_type": "vxlan",
        "segmentation_id": 100,
        "mtu": 1450,
        "admin_state_up": True,
    }
    return NetworkItem(id=id, **(fields | changes))  # type: ignore[arg-type]  # as above


def a_region() -> RegionItem:
    """The parameters of all hosts."""
    return RegionItem(id="region", responder_mac="fa:16:3e:ff:ff:ff", dhcp_lease_s=86_400)


class FakePublisher:
    """The dataplane's side of a bus: scopes as plain maps; each `change` is the next revision.

    Snapshots tell the present state at the head, as `compile` would.
    """

    def __init__(self, bus: DataplaneBus, *, epoch: int = EPOCH, generation: int = 1) -> None:
        self.bus = bus
        self.epoch = epoch
        self.generation = generation
        self.head = 0
        self.heads: dict[int, int] = dict.fromkeys(range(SHARDS), 0)
        self.items: dict[Scope, dict[Key, Put]] = {}
        self.asked: list[Scope] = []

    def serve(self) -> None:
        """Begin to answer wanted scopes."""
        self.bus.serve(self.snapshot)

    def snapshot(self, scope: Scope) -> Publication:
        """Everything of a scope, at the head."""
        self.asked.append(scope)
        return Publication(
            scope=scope,
            epoch=self.epoch,
            generation=self.generation,
            from_revision=0,
            through=self.heads[shard_of(scope)],
            put=tuple(self.items.get(scope, {}).values()),
        )

    def change(
        self,
        put: Mapping[Scope, Sequence[Item | Put]] | None = None,
        removed: Mapping[Scope, Sequence[Key]] | None = None,
        *,
        shards: Iterable[int] = range(SHARDS),
        revision: int | None = None,
    ) -> int:
        """Publish one revision and the heads of `shards`, which those of the changed scopes must be among.

        Returns the revision. An item counts as introduced by it, unless it comes as a `Put`.
        """
        self.head = revision or self.head + 1
        put, removed = put or {}, removed or {}
        steps = []
        for scope in dict.fromkeys((*put, *removed)):
            puts = tuple(
                item if isinstance(item, Put) else Put(item, self.head) for item in put.get(scope, ())
            )
            held = self.items.setdefault(scope, {})
            for each in puts:
                held[key_of(each.item)] = each
            for key in removed.get(scope, ()):
                held.pop(key, None)
            steps.append(
                Publication(
                    scope=scope,
                    epoch=self.epoch,
                    generation=self.generation,
                    from_revision=self.heads[shard_of(scope)],
                    through=self.head,
                    put=puts,
                    removed=tuple(removed.get(scope, ())),
                )
            )
        through = dict.fromkeys(shards, self.head)
        self.heads |= through
        self.bus.publish(steps, Heads(epoch=self.epoch, generation=self.generation, through=through))
        return self.head

    def begin_epoch(self, revision: int) -> None:
        """A new history at `revision`: every scope known is published whole, then the heads."""
        self.epoch += 1
        self.head = revision
        self.heads = dict.fromkeys(self.heads, revision)
        for held in self.items.values():
            held |= {key: Put(put.item, revision) for key, put in held.items()}
        heads = Heads(epoch=self.epoch, generation=self.generation, through=dict(self.heads))
        self.bus.publish([self.snapshot(scope) for scope in self.items], heads)


class Reader:
    """The ncm's side of a bus, applying what comes by the rules of protocol, section 4."""

    def __init__(self, bus: NcmBus) -> None:
        self._updates: AsyncIterator[Sequence[News]] = bus.updates()
        self.batches: list[Sequence[News]] = []
        self.held: dict[Scope, dict[Key, Envelope]] = {}
        self.position: dict[Scope, int] = {}
        self.gaps: list[ScopeUpdate] = []
        self.heads: dict[int, int] = {}
        self._chunks: dict[Scope, dict[Key, Envelope]] = {}

    async def take(self, within_s: float = 30.0) -> Sequence[News]:
        """The next batch, applied. Raises: TimeoutError."""
        # Not wait_for, which before Python 3.12 forgets a cancellation that comes with the batch.
        async with asyncio.timeout(within_s):
            batch = await anext(self._updates)
        self.batches.append(batch)
        for message in batch:
            if isinstance(message, Heads):
                self.heads.update(message.through)
            elif isinstance(message, ScopeUpdate):
                self._apply(message)
        return batch

    async def take_until(self, head: int, *scopes: Scope, shards: Iterable[int] = range(SHARDS)) -> None:
        """Take batches until these shards are announced through `head`, and all of `scopes` are held."""
        wanted = list(shards)
        while min(self.heads.get(shard, -1) for shard in wanted) < head or any(
            scope not in self.held for scope in scopes
        ):
            await self.take()

    def forget(self, scope: Scope) -> None:
        """Hold a scope no longer."""
        self.held.pop(scope, None)
        self._chunks.pop(scope, None)
        self.position.pop(scope, None)

    def _apply(self, update: ScopeUpdate) -> None:
        scope = update.scope
        if update.from_revision == 0:
            chunks = self._chunks.setdefault(scope, {})
            chunks |= {envelope.key: envelope for envelope in update.put}
            if not update.more:
                self.held[scope] = self._chunks.pop(scope)
                self.position[scope] = update.through
            return
        position = max(self.position.get(scope, -1), self.heads.get(shard_of(scope), -1))
        if scope not in self.held or update.from_revision > position:
            self.gaps.append(update)
        elif position < update.through:
            for envelope in update.put:
                self.held[scope][envelope.key] = envelope
            for key in update.removed:
                self.held[scope].pop(key, None)
            self.position[scope] = update.through


# --- strategies ------------------------------------------------------------------------------------------

_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
ids = st.one_of(st.uuids().map(str), _text, st.text("abcé-", min_size=14, max_size=18))
ips = st.ip_addresses().map(str)
macs = st.binary(min_size=6, max_size=6).map(lambda data: data.hex(":"))
cidrs = st.tuples(st.ip_addresses(), st.integers(0, 128)).map(
    lambda pair: f"{pair[0]}/{min(pair[1], pair[0].max_prefixlen)}"
)
_groups = st.none() | st.lists(ids, max_size=3).map(tuple)
_uint = st.integers(0, 2**32 - 1)
_mode = st.none() | st.sampled_from(("", "slaac", "dhcpv6-stateful"))

_flags = st.booleans()
_ports = st.none() | st.integers(0, 65_535)
_protocols = st.none() | st.integers(0, 255)


def _some(one: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(one, max_size=3).map(tuple)


_inside = st.builds(InterfaceAddress, ips, cidrs, ids, st.none() | ips)
_limits = _some(st.builds(Limit, _flags, _uint, _uint))
_firewall_rules = st.builds(
    FirewallRuleItem,
    id=ids,
    action=st.sampled_from(FirewallAction),
    ip_version=st.sampled_from((4, 6)),
    protocol=_protocols,
    source=st.none() | cidrs,
    destination=st.none() | cidrs,
    source_ports=st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9)),
)

items: dict[str, st.SearchStrategy[Item]] = {
    "host": st.builds(
        HostItem,
        id=ids,
        name=_text,
        vtep_addresses=_some(ips),
        token_digest=_text,
        bridge_mappings=_some(st.builds(BridgeMapping, _text, _text)),
        mac=macs | st.just(""),
    ),
    "local_port": st.builds(
        LocalPort,
        id=ids,
        network_id=ids,
        name=_text,
        mac=macs,
        addresses=_some(st.builds(Address, ids, ips)),
        admin_state_up=_flags,
        port_security_enabled=_flags,
        groups=_groups,
        routers=_some(ids),
        qos=st.none() | ids,
        pairs=_some(st.builds(AddressPair, cidrs, macs)),
        dhcp_options=_some(st.builds(DhcpOption, st.sampled_from((4, 6)), _text, _text)),
        trunk=st.none() | st.builds(TrunkParent, ids, st.integers(1, 4094)),
        is_active=_flags,
        device_id=ids,
        project_id=ids,
        dns_name=_text,
    ),
    "network": st.builds(
        NetworkItem,
        id=ids,
        network_type=_text,
        segmentation_id=_uint,
        mtu=_uint,
        admin_state_up=_flags,
        physical_network=st.none() | _text,
        is_external=_flags,
        dns_domain=_text,
    ),
    "subnet": st.builds(
        SubnetItem,
        id=ids,
        network_id=ids,
        cidr=cidrs,
        gateway_ip=st.none() | ips,
        dns_nameservers=_some(ips),
        host_routes=_some(st.builds(Route, cidrs, ips)),
        enable_dhcp=_flags,
        ipv6_ra_mode=_mode,
        ipv6_address_mode=_mode,
    ),
    "network_host": st.builds(NetworkHost, id=ids, vtep=ips | st.just("")),
    "open_host": st.builds(OpenHost, id=ids, vtep=ips | st.just("")),
    "neighbour": st.builds(
        Neighbour,
        id=ids,
        mac=macs,
        ips=_some(ips),
        host_id=ids,
        vtep=ips | st.just(""),
        groups=_groups,
        dns_name=_text,
    ),
    "region": st.builds(
        RegionItem,
        id=ids,
        responder_mac=macs,
        dhcp_lease_s=_uint,
        dns_domain=_text,
        dns_forwarders=_some(ips),
    ),
    "claim": st.builds(Claim, id=ids, mac=macs, port_id=ids, host_id=ids, vtep=ips),
    "router": st.builds(
        RouterItem,
        id=ids,
        admin_state_up=_flags,
        interfaces=_some(st.builds(RouterInterface, ids, ids, macs, _some(_inside))),
        routes=_some(st.builds(RouterRoute, cidrs, st.none() | ips, st.none() | ids)),
        gateways=_some(
            st.builds(
                RouterGateway,
                id=ids,
                network_id=ids,
                mac=macs,
                addresses=_some(_inside),
                snat=_flags,
                qos=st.none() | ids,
            )
        ),
        gateway_hosts=_some(st.builds(GatewayHost, ids, ips)),
    ),
    "relay": st.builds(RelayItem, id=ids),
    "network_relays": st.builds(NetworkRelays, id=ids, hosts=_some(st.builds(GatewayHost, ids, ips))),
    "gateway": st.builds(GatewayItem, id=ids, networks=_some(ids)),
    "floating_ip": st.builds(
        FloatingIpItem,
        id=ids,
        ip=ips,
        mac=macs,
        network_id=ids,
        router_id=ids,
        port_id=st.none() | ids,
        is_central=_flags,
        forwards=_some(st.builds(Forward, *[st.integers(0, 9)] * 3, ips, *[st.integers(0, 9)] * 2, ids, ids)),
    ),
    "rules": st.builds(
        RulesItem,
        id=ids,
        stateful=_flags,
        rules=_some(
            st.builds(
                GroupRule,
                id=ids,
                is_ingress=_flags,
                ip_version=st.sampled_from((4, 6)),
                protocol=_protocols,
                first=_ports,
                last=_ports,
                prefix=st.none() | cidrs,
                group=st.none() | ids,
                addresses=st.none() | ids,
            )
        ),
    ),
    "member": st.builds(Member, id=ids, cidrs=_some(cidrs)),
    "prefix": st.builds(Prefix, id=ids),
    "qos": st.builds(
        QosItem, id=ids, bandwidth=_limits, packets=_limits, dscp=st.none() | st.integers(0, 63)
    ),
    "network_acl": st.builds(
        NetworkAclItem,
        id=ids,
        cidrs=_some(cidrs),
        rules=_some(
            st.builds(
                AclRule,
                id=ids,
                number=_uint,
                is_ingress=_flags,
                is_allow=_flags,
                ip_version=st.sampled_from((4, 6)),
                prefix=cidrs,
                protocol=_protocols,
                first=_ports,
                last=_ports,
            )
        ),
    ),
    "firewall": st.builds(
        FirewallItem,
        id=ids,
        ports=_some(ids),
        ingress=st.none() | _some(_firewall_rules),
        egress=st.none() | _some(_firewall_rules),
    ),
    "bgp_speaker": st.builds(
        BgpSpeakerItem,
        id=ids,
        local_as=_uint,
        ip_version=st.sampled_from((4, 6)),
        peers=_some(st.builds(BgpPeerItem, ips, _uint, _text)),
    ),
    "release": st.builds(ReleaseItem, id=ids, epoch=_uint, number=_uint),
    "rescue": st.builds(
        RescueItem, id=ids, rescuer_id=ids, rescuer_key=_text, addresses=_some(ips), generation=_uint
    ),
    "bgp_routes": st.builds(
        BgpRoutesItem,
        id=ids,
        speaker_id=ids,
        router_id=ids,
        routes=_some(st.builds(BgpRoute, cidrs, ips, macs | st.just(""))),
    ),
}
scopes = st.builds(neighbours_scope, ids)
