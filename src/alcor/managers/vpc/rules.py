"""What makes a network valid: MTU, provider attributes, zones, the external side."""

from typing import Any

from alcor.managers.interface import Values
from alcor.managers.row import NAMED_MAX, name_users
from alcor.managers.vpc.settings import NetworkSettings
from alcor.model.errors import Conflict, InvalidInput, NotFound, Problem
from alcor.model.network import Network, ProviderSegment
from alcor.model.port import Port
from alcor.model.resource import UNSET
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, Query, Transaction

# RFC 791, section 3.2, and RFC 8200, section 5: every link that carries IP has an MTU of at least this.
IP_MTU_MIN = {4: 68, 6: 1_280}
# The claim of the one default external network of a region.
_DEFAULT_EXTERNAL = ("default_external_network", "region")
_GATEWAY_OWNERS = ("network:router_gateway", "network:floatingip")


def said_segments(values: Values) -> list[ProviderSegment]:
    """The segments a create request asks for; empty if it leaves the choice to the region.

    Raises: InvalidInput for `segments` beside `provider:*`, a segment named twice, or a network type left out.
    """
    provider = ProviderSegment(
        _said(values, "provider_network_type"),
        _said(values, "provider_physical_network") or None,
        _said(values, "provider_segmentation_id") or None,
    )
    several = list(_said(values, "segments") or ())
    if several and provider != ProviderSegment():
        raise InvalidInput(
            "Segments and provider values cannot both be set: name one or the other.",
            problem=Problem.SEGMENTS_AND_PROVIDER,
        )
    if several:
        complete = [one for one in several if one.segmentation_id is not None or one.network_type == "flat"]
        if len(set(complete)) < len(complete):
            raise InvalidInput("Duplicate segment entry in request.", problem=Problem.SEGMENTS_REPEATED)
        return several
    if provider == ProviderSegment():
        return []
    if provider.network_type is None:
        raise InvalidInput("network_type required: name it with the other provider attributes.")
    return [provider]


def _said(values: Values, name: str) -> Any:
    value = values.get(name, UNSET)
    return None if value is UNSET else value


def mtu_of(wanted: Any, mtu_max: int) -> int:
    """The MTU of a network: the one asked for, or what its segments carry. Raises: InvalidInput if it is larger."""
    if wanted is UNSET or not wanted:
        return mtu_max
    if wanted > mtu_max:
        raise InvalidInput(
            f"Requested MTU {wanted} is too big, maximum is {mtu_max}: the underlay's less what the network's type "
            "adds to a packet.",
            attribute="mtu",
        )
    return int(wanted)


def check_subnet_mtu(network: Network, mtu: int, version: int) -> None:
    """Raises: Conflict (MTU_CONFLICT) if a network of `mtu` bytes cannot have a subnet of IP `version`."""
    needed = IP_MTU_MIN[version]
    if mtu < needed:
        raise Conflict(
            f"MTU {mtu} of network {network.id} is not valid: an IPv{version} subnet requires a minimum of {needed}.",
            kind="network",
            id=network.id,
            problem=Problem.MTU_CONFLICT,
        )


async def check_subnets_mtu(tx: Transaction, network: Network, mtu: int) -> None:
    """Raises: Conflict (MTU_CONFLICT) if a subnet of the network needs more than `mtu` bytes."""
    if mtu >= max(IP_MTU_MIN.values()):
        return
    for subnet in await tx.list(Subnet, Query(where=(Condition("network_id", (network.id,)),))):
        check_subnet_mtu(network, mtu, subnet.ip_version)


def check_tagging(values: Values) -> None:
    """Raises: InvalidInput if both ways of VLANs inside a network are asked for."""
    if values.get("vlan_transparent") and values.get("qinq"):
        raise InvalidInput(
            "Bad network request: 'vlan_transparent' and 'qinq' cannot both be true; choose one.",
            problem=Problem.BAD_REQUEST,
        )


def check_zones(settings: NetworkSettings, values: Values) -> None:
    """Raises: NotFound for a hint that names no availability zone."""
    for zone in values.get("availability_zone_hints", ()):
        if zone not in settings.zones:
            raise NotFound("availability_zone", zone)


async def check_external_unused(tx: Transaction, network: Network) -> None:
    """Raises: Conflict (EXTERNAL_IN_USE) if routers or floating IPs have ports on the network."""
    where = (Condition("network_id", (network.id,)), Condition("device_owner", _GATEWAY_OWNERS))
    ports = await tx.list(Port, Query(where, limit=NAMED_MAX + 1))
    if ports:
        raise Conflict(
            f"External network {network.id} cannot be made non-external: "
            f"{name_users('gateway port', [port.id for port in ports])} is on it.",
            kind="network",
            id=network.id,
            problem=Problem.EXTERNAL_IN_USE,
        )


async def take_default_external(tx: Transaction, network_id: str) -> None:
    """Take the place of the one default external network. Raises: Conflict (DEFAULT_EXTERNAL_EXISTS)."""
    if not await tx.claim(*_DEFAULT_EXTERNAL, network_id):
        space, key = _DEFAULT_EXTERNAL
        owner = (await tx.claimed(space, [key])).get(key, "")
        raise Conflict(
            f"A default external network already exists: {owner}. Unset its is_default first.",
            kind="network",
            id=network_id,
            problem=Problem.DEFAULT_EXTERNAL_EXISTS,
        )


def release_default_external(tx: Transaction) -> None:
    """Give the place of the default external network back."""
    tx.release(*_DEFAULT_EXTERNAL)
