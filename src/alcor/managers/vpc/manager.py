"""The VPC Manager: networks."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.row import NAMED_MAX, name_users, project_of, replace_row
from alcor.managers.vpc import segment
from alcor.model.errors import Conflict, InUse, InvalidInput
from alcor.model.mac_allocation import MacAllocation
from alcor.model.network import NETWORK, Network
from alcor.model.port import Port
from alcor.model.resource import UNSET
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, Query, Store, Transaction

# Outer IPv4 20 + UDP 8 + VXLAN 8 + inner Ethernet 14 bytes. RFC 7348, section 5.
VXLAN_OVERHEAD_BYTES = 50
# RFC 8200, section 5: every link that carries IPv6 has an MTU of at least this.
IPV6_MTU_MIN = 1_280

Empty = Callable[[Transaction, Network], Awaitable[None]]
"""Deletes a network's subnets: the Subnet Manager's duty, above this one, so it comes by wiring."""


def manager(*, underlay_mtu_bytes: int, empty: Empty) -> Manager:
    """`/v2.0/networks`. `underlay_mtu_bytes`: the largest IP packet between hosts."""
    mtu_max = underlay_mtu_bytes - VXLAN_OVERHEAD_BYTES

    async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
        return await create_networks(tx, caller, many, mtu_max)

    async def update(tx: Transaction, _caller: Caller, row: Network, values: Values) -> Network:
        return await update_network(tx, row, values, mtu_max)

    async def delete(tx: Transaction, _caller: Caller, row: Network) -> None:
        await delete_network(tx, row, empty)

    return Manager(
        NETWORK, "vpc", create=create, update=update, delete=delete, computed={"subnets": load_subnets}
    )


async def create_networks(
    tx: Transaction, caller: Caller, many: Sequence[Values], mtu_max: int
) -> list[Made]:
    """Add networks, each with a VXLAN network identifier of its own.

    Raises: InvalidInput (mtu, provider attributes); Conflict if the identifier asked for is taken; Exhausted.
    """
    ids = [tx.new_id() for _ in many]
    vnis: dict[str, int] = {}
    for id, values in zip(ids, many, strict=True):
        wanted = _wanted_vni(values)
        if wanted is not None:
            await segment.take(tx, wanted, id)
            vnis[id] = wanted
    # After those that were asked for, so that none of them is given away in the same request.
    others = [id for id in ids if id not in vnis]
    vnis |= zip(others, await segment.allocate(tx, others), strict=True)
    made = []
    for id, values in zip(ids, many, strict=True):
        tx.insert(
            Network(
                id=id,
                project_id=project_of(caller, values),
                name=values.get("name", ""),
                description=values.get("description", ""),
                admin_state_up=values.get("admin_state_up", True),
                mtu=_mtu(values.get("mtu", UNSET), mtu_max),
                port_security_enabled=values.get("port_security_enabled", True),
                provider_network_type="vxlan",
                provider_physical_network=None,
                provider_segmentation_id=vnis[id],
            )
        )
        # A new network has no subnets: nobody needs to look for them to answer.
        made.append(Made(await tx.get(Network, id), {"subnets": []}))
    return made


def _wanted_vni(values: Values) -> int | None:
    """The identifier asked for, None for any. Raises: InvalidInput for a combination that makes no sense."""
    type_ = values.get("provider_network_type", UNSET)
    physical = values.get("provider_physical_network", UNSET)
    vni = values.get("provider_segmentation_id", UNSET)
    if type_ is UNSET and not (physical in (UNSET, None) and vni in (UNSET, None)):
        raise InvalidInput("network_type required: name it with the other provider attributes.")
    if physical not in (UNSET, None):
        raise InvalidInput(
            f"provider:physical_network '{physical}' specified for a vxlan network, "
            "which is not tied to a physical network; leave it out."
        )
    return None if vni in (UNSET, None) else int(vni)


def _mtu(wanted: Any, mtu_max: int) -> int:
    if wanted is UNSET:
        return mtu_max
    if wanted > mtu_max:
        raise InvalidInput(
            f"Requested MTU {wanted} is too big, maximum is {mtu_max}: the underlay's less {VXLAN_OVERHEAD_BYTES} "
            "bytes of VXLAN encapsulation.",
            attribute="mtu",
        )
    return int(wanted)


def check_ipv6_mtu(network: Network, mtu: int) -> None:
    """Raises: Conflict if a network of `mtu` bytes cannot have an IPv6 subnet."""
    if mtu < IPV6_MTU_MIN:
        raise Conflict(
            f"MTU {mtu} of network {network.id} is not valid: an IPv6 subnet requires a minimum of {IPV6_MTU_MIN}.",
            kind="network",
            id=network.id,
        )


async def update_network(tx: Transaction, row: Network, values: Values, mtu_max: int) -> Network:
    """Change name, description, administrative state, MTU or the default of port security.

    Raises: InvalidInput if the MTU is too large; Conflict if it is too small for an IPv6 subnet of it.
    """
    if "mtu" in values:
        mtu = _mtu(values["mtu"], mtu_max)
        subnets = await tx.list(Subnet, Query(where=(Condition("network_id", (row.id,)),)))
        if any(subnet.ip_version == 6 for subnet in subnets):
            check_ipv6_mtu(row, mtu)
        values = values | {"mtu": mtu}
    return await replace_row(tx, row, values)


async def delete_network(tx: Transaction, row: Network, empty: Empty) -> None:
    """Remove a network and its subnets, and give its identifier back.

    Raises: InUse naming what is on it: ports, addresses taken without a port.
    """
    on_it = Query(where=(Condition("network_id", (row.id,)),), limit=NAMED_MAX + 1)
    ports = await tx.list(Port, on_it)
    if ports:
        raise InUse("network", row.id, by=name_users("port", [port.id for port in ports]))
    macs = await tx.list(MacAllocation, on_it)
    if macs:
        raise InUse("network", row.id, by=name_users("MAC address", [mac.mac_address for mac in macs]))
    await empty(tx, row)
    if row.provider_segmentation_id is not None:
        segment.release(tx, row.provider_segmentation_id)
    tx.delete(row)


async def load_subnets(store: Store, _caller: Caller, rows: Sequence[Network]) -> dict[str, list[str]]:
    """The subnet ids of each network, oldest first. Cost: one read, however many networks."""
    ids = tuple(row.id for row in rows)
    subnets = await store.reader.list(Subnet, Query(where=(Condition("network_id", ids),)))
    found: dict[str, list[str]] = {id: [] for id in ids}
    for subnet in sorted(subnets, key=lambda subnet: (subnet.created_at, subnet.id)):
        found[subnet.network_id].append(subnet.id)
    return found
