"""Creating ports: a bulk is one transaction, and what its ports have in common is looked up once."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from alcor.managers.interface import Caller, Made, Values
from alcor.managers.mac import allocation as mac_allocation
from alcor.managers.port.address import Plan, default_slots, fill, formed_slots, wanted_slots
from alcor.managers.port.binding import find_host_names, vif_type
from alcor.managers.row import get_visible, project_of
from alcor.managers.security_group.default import default_group
from alcor.managers.subnet.manager import subnets_of
from alcor.model.address import Mac
from alcor.model.network import Network
from alcor.model.port import FixedIp, Port
from alcor.model.resource import UNSET
from alcor.model.subnet import Subnet
from alcor.store.interface import Transaction


@dataclass(slots=True)
class _Shared:
    """What several ports of one request need, read once. Keys: network id, network id, project id."""

    hosts: set[str]
    networks: dict[str, Network] = field(default_factory=dict)
    subnets: dict[str, list[Subnet]] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)


async def create_ports(
    tx: Transaction, caller: Caller, many: Sequence[Values], reserved: frozenset[Mac]
) -> list[Made]:
    """Add ports, each with its MAC address, its addresses and its project's default group.

    A port whose `binding:host_id` names no host is made all the same, `binding_failed`.
    Cost:   a few reads per request, network, subnet and project; per port one claim of a MAC address
            and one per address.
    Raises: NotFound (network, subnet); InvalidInput, InUse, Exhausted as `port.address` and `mac.allocation`.
    """
    ids = [tx.new_id() for _ in many]
    shared = await _look_up(tx, caller, many)
    macs = await _take_macs(tx, ids, many, reserved)
    plans = []
    for id, values in zip(ids, many, strict=True):
        plan = Plan(id, values["network_id"], macs[id])
        subnets = shared.subnets[plan.network_id]
        wanted = values.get("fixed_ips", UNSET)
        if wanted is UNSET:
            plan.slots = default_slots(subnets)
        else:
            plan.slots = await wanted_slots(tx, wanted, subnets, plan.network_id)
        plan.slots += formed_slots(subnets, values.get("device_owner", ""))
        plans.append(plan)
    await fill(tx, plans)
    made = []
    for plan, values in zip(plans, many, strict=True):
        tx.insert(_row(plan.port_id, caller, values, shared, plan.mac, plan.fixed_ips()))
        made.append(Made(await tx.get(Port, plan.port_id)))
    return made


async def _look_up(tx: Transaction, caller: Caller, many: Sequence[Values]) -> _Shared:
    shared = _Shared(await find_host_names(tx, (values.get("binding_host_id") or "" for values in many)))
    for values in many:
        network_id = values["network_id"]
        if network_id not in shared.networks:
            shared.networks[network_id] = await get_visible(tx, caller, Network, network_id, kind="network")
            shared.subnets[network_id] = await subnets_of(tx, network_id)
        project_id = project_of(caller, values)
        if project_id not in shared.groups:
            shared.groups[project_id] = await default_group(tx, project_id)
    return shared


async def _take_macs(
    tx: Transaction, ids: Sequence[str], many: Sequence[Values], reserved: frozenset[Mac]
) -> dict[str, Mac]:
    """A MAC address for each port; first those asked for, so that none is given away in the same request."""
    macs: dict[str, Mac] = {}
    others: dict[str, list[str]] = {}
    for id, values in zip(ids, many, strict=True):
        wanted, network_id = values.get("mac_address", UNSET), values["network_id"]
        if wanted is UNSET:
            others.setdefault(network_id, []).append(id)
        else:
            macs[id] = Mac(wanted)
            await mac_allocation.take(tx, network_id, macs[id], id, reserved)
    if others:
        numbers = await mac_allocation.load_numbers(tx)
        for network_id, owners in others.items():
            given = await mac_allocation.allocate(tx, numbers, network_id, owners, reserved)
            macs |= zip(owners, given, strict=True)
    return macs


def _row(
    id: str, caller: Caller, values: Values, shared: _Shared, mac: Mac, fixed_ips: tuple[FixedIp, ...]
) -> Port:
    project_id = project_of(caller, values)
    owner, host_id = values.get("device_owner", ""), values.get("binding_host_id") or ""
    secured = values.get("port_security_enabled", UNSET)
    if secured is UNSET:
        secured = shared.networks[values["network_id"]].port_security_enabled
    return Port(
        id=id,
        project_id=project_id,
        name=values.get("name", ""),
        description=values.get("description", ""),
        network_id=values["network_id"],
        mac_address=mac,
        admin_state_up=values.get("admin_state_up", True),
        fixed_ips=fixed_ips,
        device_id=values.get("device_id", ""),
        device_owner=owner,
        port_security_enabled=secured,
        # Ports of the network's own services (DHCP, routers) are in no group, as the API has it.
        security_groups=() if owner.startswith("network:") else (shared.groups[project_id],),
        binding_host_id=host_id,
        binding_vnic_type=values.get("binding_vnic_type", "normal"),
        binding_profile=values.get("binding_profile", {}),
        binding_vif_type=vif_type(host_id, shared.hosts),
    )
