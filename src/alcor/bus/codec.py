"""Items to bytes and back, by the schema of `wire.proto`.

Kinds that there are many of have a message each; the others are packed: MessagePack of their declared fields
(docs/decisions/0010-item-bodies.md). An item's id is not in its bytes: it stands in the envelope's key, once. Equal
items with equal ids give equal bytes. Cost: 2 to 6 µs an item either way; building protobuf's Python objects is most
of it, which is why an item is encoded once and forwarded as bytes.
"""

import ipaddress
import socket
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import msgspec
from google.protobuf.message import DecodeError, Message

from alcor.bus import wire_pb2 as wire
from alcor.bus.subject import MAC_BIT, Code, code_of, code_of_ip
from alcor.goalstate import item as goal
from alcor.goalstate.item import Item, ItemKind, Key
from alcor.goalstate.security_item import Member
from alcor.goalstate.subject import subjects
from alcor.model.ids import is_uuid

UUID_BYTES = 16
MAC_BYTES = 6

# --- the forms of wire.proto's head ------------------------------------------------------------------------


def encode_id(id: str) -> bytes:
    """16 octets for a canonical UUID, else UTF-8 text that never has 16. Raises: ValueError if it holds NUL."""
    if len(id) == 36 and is_uuid(id):
        return bytes.fromhex(id.replace("-", ""))
    if "\0" in id:
        raise ValueError(f"the id {id!r} holds a NUL character")
    text = id.encode()
    return b"\0" + text if len(text) == UUID_BYTES else text


def decode_id(data: bytes) -> str:
    """The inverse of `encode_id`. Raises: ValueError."""
    if len(data) == UUID_BYTES:
        digits = data.hex()
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    text = data[1:] if len(data) == UUID_BYTES + 1 and data[0] == 0 else data
    if 0 in text:
        raise ValueError(f"the id {data!r} holds a NUL octet")
    return text.decode()


def encode_ip(ip: str) -> bytes:
    """4 or 16 octets. Raises: ValueError."""
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip)
    except OSError as error:
        raise ValueError(f"'{ip}' is not a valid IP address") from error


def decode_ip(data: bytes) -> str:
    """The inverse of `encode_ip`, in canonical text. Raises: ValueError."""
    if len(data) == 4:
        return socket.inet_ntop(socket.AF_INET, data)
    if len(data) == 16:
        return str(ipaddress.IPv6Address(data))
    raise ValueError(f"an IP address has 4 or 16 octets, not {len(data)}")


def _encode_vtep(ip: str) -> bytes:
    return encode_ip(ip) if ip else b""


def _decode_vtep(data: bytes) -> str:
    return decode_ip(data) if data else ""


def encode_mac(mac: str) -> bytes:
    """6 octets. Raises: ValueError."""
    data = bytes.fromhex(mac.replace(":", ""))
    if len(data) != MAC_BYTES:
        raise ValueError(f"'{mac}' is not a valid MAC address")
    return data


def decode_mac(data: bytes) -> str:
    """The inverse of `encode_mac`. Raises: ValueError."""
    if len(data) != MAC_BYTES:
        raise ValueError(f"a MAC address has 6 octets, not {len(data)}")
    return data.hex(":")


def encode_cidr(cidr: str) -> bytes:
    """The address, then one octet of prefix length. Raises: ValueError."""
    address, _, length = cidr.partition("/")
    return encode_ip(address) + bytes((int(length),))


def decode_cidr(data: bytes) -> str:
    """The inverse of `encode_cidr`. Raises: ValueError."""
    if not data or data[-1] > (len(data) - 1) * 8:
        raise ValueError(f"{data!r} is not an address and a prefix length")
    return f"{decode_ip(data[:-1])}/{data[-1]}"


def _encode_groups(groups: tuple[str, ...] | None) -> wire.Groups | None:
    return None if groups is None else wire.Groups(id=[encode_id(id) for id in groups])


def _decode_groups(message: wire.LocalPort | wire.Neighbour) -> tuple[str, ...] | None:
    return _ids(message.groups.id) if message.HasField("groups") else None


def _ids(values: Iterable[bytes]) -> tuple[str, ...]:
    return tuple([decode_id(value) for value in values])


def _ips(values: Iterable[bytes]) -> tuple[str, ...]:
    return tuple([decode_ip(value) for value in values])


# --- one pair per kind -------------------------------------------------------------------------------------


def _encode_host(item: goal.HostItem) -> Message:
    return wire.HostItem(
        name=item.name,
        vtep_address=[encode_ip(ip) for ip in item.vtep_addresses],
        token_digest=item.token_digest,
        bridge_mapping=[
            wire.BridgeMapping(physical_network=one.physical_network, bridge=one.bridge)
            for one in item.bridge_mappings
        ],
        mac=encode_mac(item.mac) if item.mac else b"",
        key_digest=item.key_digest,
    )


def _decode_host(id: str, body: bytes) -> Item:
    message = wire.HostItem.FromString(body)
    return goal.HostItem(
        id=id,
        name=message.name,
        vtep_addresses=_ips(message.vtep_address),
        token_digest=message.token_digest,
        bridge_mappings=tuple(
            [goal.BridgeMapping(one.physical_network, one.bridge) for one in message.bridge_mapping]
        ),
        mac=decode_mac(message.mac) if message.mac else "",
        key_digest=message.key_digest,
    )


def _encode_local_port(item: goal.LocalPort) -> Message:
    return wire.LocalPort(
        network_id=encode_id(item.network_id),
        name=item.name,
        mac=encode_mac(item.mac),
        address=[wire.Address(subnet_id=encode_id(a.subnet_id), ip=encode_ip(a.ip)) for a in item.addresses],
        admin_state_up=item.admin_state_up,
        port_security_enabled=item.port_security_enabled,
        groups=_encode_groups(item.groups),
        router=[encode_id(id) for id in item.routers],
        qos=None if item.qos is None else encode_id(item.qos),
        pair=[wire.AddressPair(cidr=encode_cidr(one.cidr), mac=encode_mac(one.mac)) for one in item.pairs],
        dhcp_option=[
            wire.DhcpOption(ip_version=one.ip_version, name=one.name, value=one.value)
            for one in item.dhcp_options
        ],
        trunk=None
        if item.trunk is None
        else wire.TrunkParent(port_id=encode_id(item.trunk.port_id), vlan=item.trunk.vlan),
        is_standby=not item.is_active,
        device_id=encode_id(item.device_id),
        project_id=encode_id(item.project_id),
        dns_name=item.dns_name,
    )


def _decode_local_port(id: str, body: bytes) -> Item:
    message = wire.LocalPort.FromString(body)
    return goal.LocalPort(
        id=id,
        network_id=decode_id(message.network_id),
        name=message.name,
        mac=decode_mac(message.mac),
        addresses=tuple([goal.Address(decode_id(a.subnet_id), decode_ip(a.ip)) for a in message.address]),
        admin_state_up=message.admin_state_up,
        port_security_enabled=message.port_security_enabled,
        groups=_decode_groups(message),
        routers=_ids(message.router),
        qos=decode_id(message.qos) if message.HasField("qos") else None,
        pairs=tuple([goal.AddressPair(decode_cidr(one.cidr), decode_mac(one.mac)) for one in message.pair]),
        dhcp_options=tuple(
            [goal.DhcpOption(one.ip_version, one.name, one.value) for one in message.dhcp_option]
        ),
        trunk=goal.TrunkParent(decode_id(message.trunk.port_id), message.trunk.vlan)
        if message.HasField("trunk")
        else None,
        is_active=not message.is_standby,
        device_id=decode_id(message.device_id),
        project_id=decode_id(message.project_id),
        dns_name=message.dns_name,
    )


def _encode_network(item: goal.NetworkItem) -> Message:
    return wire.NetworkItem(
        network_type=item.network_type,
        segmentation_id=item.segmentation_id,
        mtu=item.mtu,
        admin_state_up=item.admin_state_up,
        physical_network=item.physical_network,
        is_external=item.is_external,
        dns_domain=item.dns_domain,
        acl=[encode_id(id) for id in item.acls],
    )


def _decode_network(id: str, body: bytes) -> Item:
    message = wire.NetworkItem.FromString(body)
    return goal.NetworkItem(
        id=id,
        network_type=message.network_type,
        segmentation_id=message.segmentation_id,
        mtu=message.mtu,
        admin_state_up=message.admin_state_up,
        physical_network=message.physical_network if message.HasField("physical_network") else None,
        is_external=message.is_external,
        dns_domain=message.dns_domain,
        acls=_ids(message.acl),
    )


def _encode_subnet(item: goal.SubnetItem) -> Message:
    return wire.SubnetItem(
        network_id=encode_id(item.network_id),
        cidr=encode_cidr(item.cidr),
        gateway_ip=None if item.gateway_ip is None else encode_ip(item.gateway_ip),
        dns_nameserver=[encode_ip(ip) for ip in item.dns_nameservers],
        host_route=[
            wire.Route(destination=encode_cidr(route.destination), nexthop=encode_ip(route.nexthop))
            for route in item.host_routes
        ],
        enable_dhcp=item.enable_dhcp,
        ipv6_ra_mode=item.ipv6_ra_mode,
        ipv6_address_mode=item.ipv6_address_mode,
    )


def _decode_subnet(id: str, body: bytes) -> Item:
    message = wire.SubnetItem.FromString(body)
    return goal.SubnetItem(
        id=id,
        network_id=decode_id(message.network_id),
        cidr=decode_cidr(message.cidr),
        gateway_ip=decode_ip(message.gateway_ip) if message.HasField("gateway_ip") else None,
        dns_nameservers=_ips(message.dns_nameserver),
        host_routes=tuple(
            [
                goal.Route(decode_cidr(route.destination), decode_ip(route.nexthop))
                for route in message.host_route
            ]
        ),
        enable_dhcp=message.enable_dhcp,
        ipv6_ra_mode=message.ipv6_ra_mode if message.HasField("ipv6_ra_mode") else None,
        ipv6_address_mode=message.ipv6_address_mode if message.HasField("ipv6_address_mode") else None,
    )


def _encode_network_host(item: goal.NetworkHost) -> Message:
    return wire.NetworkHost(vtep=_encode_vtep(item.vtep))


def _decode_network_host(id: str, body: bytes) -> Item:
    return goal.NetworkHost(id=id, vtep=_decode_vtep(wire.NetworkHost.FromString(body).vtep))


def _encode_neighbour(item: goal.Neighbour) -> bytes:
    """A message's octets are those of its fields, one after the other. A region has a million of these: what many have
    in common is encoded once, and what is of a fixed length needs no message to be made. Cost: 1.2 µs."""
    parts = [_MAC_FIELD, encode_mac(item.mac)]
    for ip in item.ips:
        octets = encode_ip(ip)
        parts += (_IP4_FIELD if len(octets) == 4 else _IP6_FIELD, octets)
    parts.append(_neighbour_end(item.host_id, item.vtep, item.groups))
    if item.dns_name:
        parts.append(wire.Neighbour(dns_name=item.dns_name).SerializeToString())
    return b"".join(parts)


# How fields of `Neighbour` begin: number and kind (length-delimited), then how many octets follow.
_MAC_FIELD, _IP4_FIELD, _IP6_FIELD = b"\x0a\x06", b"\x12\x04", b"\x12\x10"


@lru_cache(1 << 14)
def _neighbour_end(host_id: str, vtep: str, groups: tuple[str, ...] | None) -> bytes:
    return wire.Neighbour(
        host_id=encode_id(host_id), vtep=_encode_vtep(vtep), groups=_encode_groups(groups)
    ).SerializeToString(deterministic=True)


def _decode_neighbour(id: str, body: bytes) -> Item:
    message = wire.Neighbour.FromString(body)
    return goal.Neighbour(
        id=id,
        mac=decode_mac(message.mac),
        ips=_ips(message.ip),
        host_id=decode_id(message.host_id),
        vtep=_decode_vtep(message.vtep),
        groups=_decode_groups(message),
        dns_name=message.dns_name,
    )


def _encode_member(item: Member) -> Message:
    return wire.Member(cidr=[encode_cidr(cidr) for cidr in item.cidrs])


def _decode_member(id: str, body: bytes) -> Item:
    return Member(id=id, cidrs=tuple([decode_cidr(cidr) for cidr in wire.Member.FromString(body).cidr]))


def _encode_region(item: goal.RegionItem) -> Message:
    return wire.RegionItem(
        responder_mac=encode_mac(item.responder_mac),
        dhcp_lease_s=item.dhcp_lease_s,
        dns_domain=item.dns_domain,
        dns_forwarder=[encode_ip(ip) for ip in item.dns_forwarders],
        relay_above=item.relay_above,
        flood_above=item.flood_above,
    )


def _decode_region(id: str, body: bytes) -> Item:
    message = wire.RegionItem.FromString(body)
    return goal.RegionItem(
        id=id,
        responder_mac=decode_mac(message.responder_mac),
        dhcp_lease_s=message.dhcp_lease_s,
        dns_domain=message.dns_domain,
        dns_forwarders=_ips(message.dns_forwarder),
        relay_above=message.relay_above,
        flood_above=message.flood_above,
    )


# Each encoder takes the item type it stands beside; a dictionary cannot say so to the type checker.
_ENCODERS: dict[type, Callable[[Any], Message | bytes]] = {
    goal.HostItem: _encode_host,
    goal.LocalPort: _encode_local_port,
    goal.NetworkItem: _encode_network,
    goal.SubnetItem: _encode_subnet,
    goal.NetworkHost: _encode_network_host,
    goal.Neighbour: _encode_neighbour,
    Member: _encode_member,
    goal.RegionItem: _encode_region,
}
_DECODERS: dict[ItemKind, Callable[[str, bytes], Item]] = {
    ItemKind.HOST: _decode_host,
    ItemKind.LOCAL_PORT: _decode_local_port,
    ItemKind.NETWORK: _decode_network,
    ItemKind.SUBNET: _decode_subnet,
    ItemKind.NETWORK_HOST: _decode_network_host,
    ItemKind.NEIGHBOUR: _decode_neighbour,
    ItemKind.MEMBER: _decode_member,
    ItemKind.REGION: _decode_region,
}

# --- packed ------------------------------------------------------------------------------------------------

_PACKER = msgspec.msgpack.Encoder()
_FIELDS: dict[ItemKind, tuple[str, ...]] = {
    kind: tuple(one.name for one in msgspec.structs.fields(type_) if one.name != "id")
    for kind, type_ in goal.TYPES.items()
    if kind not in _DECODERS
}


def _pack(item: Item) -> bytes:
    fields = _FIELDS[goal.KINDS[type(item)]]
    return _PACKER.encode({name: getattr(item, name) for name in fields}) if fields else b""


def _unpack(key: Key, body: bytes) -> Item:
    fields = _FIELDS[key.kind]
    said = msgspec.msgpack.decode(body, type=dict[str, Any]) if fields or body else {}
    if tuple(said) != fields:
        raise ValueError(f"its fields are {sorted(said)}, not {sorted(fields)}")
    item: Item = msgspec.convert(said | {"id": key.id}, goal.TYPES[key.kind])
    return item


class ProtobufCodec:
    """Implements `ItemCodec`. Without state: one may serve the whole process."""

    def encode(self, item: Item) -> bytes:
        """The wire form of an item, its id left out. Raises: ValueError if a field is not in canonical form."""
        encoder = _ENCODERS.get(type(item))
        if encoder is None:
            return _pack(item)
        try:
            message = encoder(item)
            # Deterministic although no item holds a map today: bytes are compared instead of items.
            return message if isinstance(message, bytes) else message.SerializeToString(deterministic=True)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{type(item).__name__} {item.id} has no wire form: {error}") from error

    def decode(self, key: Key, body: bytes) -> Item:
        """The item named `key`. Raises: ValueError that names it and the reason."""
        decoder = _DECODERS.get(key.kind)
        try:
            return _unpack(key, body) if decoder is None else decoder(key.id, body)
        except (ValueError, DecodeError, msgspec.MsgspecError) as error:
            raise ValueError(f"{key.kind.value} {key.id} cannot be read: {error}") from error

    def codes(self, key: Key, body: bytes) -> list[Code]:
        """As `ItemCodec`. Cost: 1 µs for a neighbour, whose item is not made; that of `decode` for others."""
        if key.kind is not ItemKind.NEIGHBOUR:
            return list(dict.fromkeys(map(code_of, subjects(self.decode(key, body)))))
        message = wire.Neighbour.FromString(body)
        found: list[Code] = [code_of_ip(ip) for ip in message.ip]
        found.append(int.from_bytes(message.mac) | MAC_BIT)
        if message.dns_name:
            found.append(message.dns_name)
        return found
