"""Addresses of ports: what a client asked for becomes addresses that are taken.

The forms of `fixed_ips` (Networking API v2.0, "fixed_ips"): subnet and address, subnet only, address only (the
subnet that contains it), nothing at all (one address of the IPv4 subnets and one of the IPv6 ones), and an empty
list (none). Addresses a port forms from its MAC address (SLAAC) come with any of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from alcor.managers.interface import Caller
from alcor.managers.private_ip import allocation
from alcor.managers.sharing import may_use
from alcor.model.address import Cidr, Ip, Mac, contains
from alcor.model.errors import Conflict, Exhausted, InvalidInput, NotFound, Problem
from alcor.model.network import Network
from alcor.model.port import FixedIp, WantedIp
from alcor.model.subnet import Subnet
from alcor.store.interface import Transaction


@dataclass(slots=True)
class Slot:
    """One address of a port to be: `ip` once it is known, else any of `choices`, in that order."""

    choices: tuple[Subnet, ...]
    ip: Ip | None = None
    is_formed: bool = False
    """Formed from the MAC address."""


@dataclass(slots=True)
class Plan:
    """The addresses one port is to get."""

    port_id: str
    network_id: str
    mac: Mac
    slots: list[Slot] = field(default_factory=list)

    def fixed_ips(self) -> tuple[FixedIp, ...]:
        """The result, once every slot is filled."""
        return tuple(FixedIp(slot.choices[0].id, slot.ip) for slot in self.slots if slot.ip is not None)


def eligible(subnets: Sequence[Subnet], network_id: str, device_owner: str) -> list[Subnet]:
    """The subnets a device of this kind may have addresses of: those that serve it, or serve all.

    Raises: Conflict if the network has subnets and none of them is for such devices.
    """
    found = [subnet for subnet in subnets if not subnet.service_types or device_owner in subnet.service_types]
    if subnets and not found:
        raise Conflict(
            f"No subnet of network {network_id} has the service type '{device_owner}', and none is for all devices: "
            "add one, or change device_owner.",
            kind="network",
            id=network_id,
            problem=Problem.NO_MATCHING_SUBNET,
        )
    return found


# Source: the reference's ROUTER_INTERFACE_OWNERS_SNAT.
_CHOOSING = (
    "network:router_interface",
    "network:router_interface_distributed",
    "network:ha_router_replicated_interface",
    "network:router_centralized_snat",
)


def is_formed(subnet: Subnet, device_owner: str) -> bool:
    """Whether such a port forms its address itself; interfaces of routers choose theirs."""
    return allocation.is_automatic(subnet) and device_owner not in _CHOOSING


def default_slots(subnets: Sequence[Subnet]) -> list[Slot]:
    """A client that says nothing gets one IPv4 and one IPv6 address, where there are such subnets."""
    chosen = (
        tuple(s for s in subnets if s.ip_version == version and not allocation.is_automatic(s))
        for version in (4, 6)
    )
    return [Slot(choices) for choices in chosen if choices]


def formed_slots(subnets: Iterable[Subnet], device_owner: str) -> list[Slot]:
    """The addresses a port forms itself."""
    return [Slot((subnet,), is_formed=True) for subnet in subnets if is_formed(subnet, device_owner)]


async def refuse_unseen(
    tx: Transaction, caller: Caller, wanted: Iterable[WantedIp], known: Iterable[Subnet]
) -> None:
    """Raises: NotFound for a subnet that is none of `known` and not the caller's to use, as if it were not there."""
    others = {one.subnet_id for one in wanted} - {one.id for one in known}
    for id in sorted(id for id in others if id is not None):
        subnet = await tx.find(Subnet, id)
        if subnet is None or await may_use(tx, caller, subnet):
            continue
        network = await tx.find(Network, subnet.network_id)
        if network is None or not await may_use(tx, caller, network):
            raise NotFound("subnet", subnet.id)


async def wanted_slots(
    tx: Transaction,
    wanted: Iterable[WantedIp],
    subnets: Sequence[Subnet],
    network_id: str,
    device_owner: str = "",
) -> list[Slot]:
    """What was asked for in `fixed_ips`; subnets whose addresses are formed are left to `formed_slots`.

    Raises: NotFound (subnet); InvalidInput for a subnet of another network, an address that is on none
            or outside of the named one, one asked for twice, or one of a subnet of formed addresses.
    """
    wanted = list(wanted)
    _check_distinct(wanted)
    slots: list[Slot] = []
    for one in wanted:
        subnet = await _subnet_for(tx, one, subnets, network_id)
        ip = None if one.ip_address is None else Ip(one.ip_address)
        if is_formed(subnet, device_owner):
            if ip is None:
                continue
            raise _not_chosen(subnet, ip)
        slots.append(Slot((subnet,), ip))
    return slots


def _check_distinct(wanted: Iterable[WantedIp]) -> None:
    seen: set[str] = set()
    for one in wanted:
        if one.ip_address in seen:
            raise InvalidInput(f"Duplicate IP address '{one.ip_address}'.", attribute="fixed_ips")
        if one.ip_address is not None:
            seen.add(one.ip_address)


def _not_chosen(subnet: Subnet, ip: Ip) -> InvalidInput:
    return InvalidInput(
        f"IPv6 address {ip} cannot be directly assigned to a port on subnet {subnet.id}, which is "
        "configured for automatic addresses; name the subnet only, or nothing."
    )


async def _subnet_for(
    tx: Transaction, wanted: WantedIp, subnets: Sequence[Subnet], network_id: str
) -> Subnet:
    if wanted.subnet_id is not None:
        for subnet in subnets:
            if subnet.id == wanted.subnet_id:
                return subnet
        if await tx.find(Subnet, wanted.subnet_id) is None:
            raise NotFound("subnet", wanted.subnet_id)
        raise InvalidInput(
            f"Failed to create port on network {network_id}, because fixed_ips included invalid subnet "
            f"{wanted.subnet_id}, which belongs to another network."
        )
    if wanted.ip_address is None:
        raise InvalidInput("IP allocation requires subnet_id or ip_address.", attribute="fixed_ips")
    for subnet in subnets:
        if contains(Cidr(subnet.cidr), Ip(wanted.ip_address)):
            return subnet
    raise InvalidInput(
        f"IP address {wanted.ip_address} is not a valid IP for any of the subnets on network {network_id}.",
        problem=Problem.ADDRESS_NOT_ON_NETWORK,
    )


async def fill(tx: Transaction, plans: Sequence[Plan]) -> None:
    """Take an address for every slot of every plan, with one allocation per subnet.

    Order: first the addresses that were asked for or are formed, so that none of them is given away in the same
    request; then free ones.
    Raises: InvalidInput, InUse (an address that was asked for); Exhausted (no choice of a slot has any left).
    """
    open_slots: list[tuple[Plan, Slot]] = []
    for plan in plans:
        for slot in plan.slots:
            if slot.is_formed:
                slot.ip = await allocation.take_automatic(tx, slot.choices[0], plan.mac, plan.port_id)
            elif slot.ip is not None:
                await allocation.take(tx, slot.choices[0], slot.ip, plan.port_id)
            else:
                open_slots.append((plan, slot))
    # Each round asks every slot's next choice; it ends after as many rounds as a network has subnets.
    while open_slots:
        open_slots = await _fill_round(tx, open_slots)


async def _fill_round(tx: Transaction, open_slots: list[tuple[Plan, Slot]]) -> list[tuple[Plan, Slot]]:
    """Returns: the slots whose first choice had nothing left, with that choice struck out."""
    groups: dict[str, list[tuple[Plan, Slot]]] = {}
    for plan, slot in open_slots:
        groups.setdefault(slot.choices[0].id, []).append((plan, slot))
    left: list[tuple[Plan, Slot]] = []
    for group in groups.values():
        subnet = group[0][1].choices[0]
        ips = await allocation.allocate(tx, subnet, [plan.port_id for plan, _ in group])
        for (_, slot), ip in zip(group, ips, strict=False):
            slot.ip = ip
        for plan, slot in group[len(ips) :]:
            if len(slot.choices) == 1:
                raise Exhausted(
                    "IP addresses",
                    f"on network {plan.network_id} (subnet {subnet.id} is full)",
                    problem=Problem.NO_ADDRESS_LEFT,
                )
            slot.choices = slot.choices[1:]
            left.append((plan, slot))
    return left


async def keep_or_add(
    tx: Transaction,
    wanted: Sequence[WantedIp],
    present: Sequence[FixedIp],
    subnets: Sequence[Subnet],
    network_id: str,
    device_owner: str = "",
) -> tuple[list[FixedIp], list[Slot]]:
    """Which present addresses an update keeps, and what it adds; the rest is to be released.

    An address that is named stays; a subnet that is named without an address keeps one it has;
    addresses the port formed itself stay. Raises: as `wanted_slots`.
    """
    _check_distinct(wanted)
    unclaimed = {one.ip_address: one for one in present}
    kept: list[FixedIp] = []
    others: list[WantedIp] = []
    # Named addresses first, lest a subnet-only entry keep one that another entry names.
    for entry in wanted:
        match = unclaimed.get(entry.ip_address or "")
        if match is not None and entry.subnet_id in (None, match.subnet_id):
            kept.append(unclaimed.pop(match.ip_address))
        else:
            others.append(entry)
    added: list[Slot] = []
    for slot in await wanted_slots(tx, others, subnets, network_id, device_owner):
        same = [one for one in unclaimed.values() if one.subnet_id == slot.choices[0].id]
        if slot.ip is None and same:
            kept.append(unclaimed.pop(same[0].ip_address))
        else:
            added.append(slot)
    automatic = {subnet.id for subnet in subnets if is_formed(subnet, device_owner)}
    kept += [one for one in unclaimed.values() if one.subnet_id in automatic]
    return kept, added
