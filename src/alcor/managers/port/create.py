"""Creating ports: a bulk is one transaction, and what its ports have in common is looked up once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from alcor.managers.interface import Caller, Made, Values
from alcor.managers.mac import allocation as mac_allocation
from alcor.managers.port.address import (
    Plan,
    default_slots,
    eligible,
    fill,
    formed_slots,
    refuse_unseen,
    wanted_slots,
)
from alcor.managers.port.binding import find_host_names, vif_type
from alcor.managers.port.extra import new_extra, profile_of
from alcor.managers.port.owner import check_device
from alcor.managers.port.pair import pairs_of
from alcor.managers.port.policy import check_policies
from alcor.managers.port.related import shown_of_new
from alcor.managers.port.security import check_groups, check_new, is_secured, is_service, wanted_groups
from alcor.managers.row import get_visible, project_of
from alcor.managers.security_group.default import default_group
from alcor.managers.security_group.mixture import check_not_mixed
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
    default_groups: dict[str, str] = field(default_factory=dict)


async def create_ports(
    tx: Transaction,
    caller: Caller,
    many: Sequence[Values],
    reserved: frozenset[Mac],
    *,
    ids: Sequence[str] = (),
    living_on: Collection[str] = (),
) -> list[Made]:
    """Add ports, each with its MAC address, its addresses and its security groups. `ids`: theirs, if not new ones.

    A port whose `binding:host_id` names no host that takes new work is made all the same, `binding_failed`; but
    bound if it is one of `living_on`: names of hosts on which these ports live already.
    Cost:   a few reads per request, network, subnet and project; per port one claim of a MAC address
            and one per address.
    Raises: NotFound (network, subnet, group, policy); Conflict (a device of another project); InvalidInput, InUse,
            Exhausted as `port.address`, `port.security`, `port.pair` and `mac.allocation`.
    """
    ids = ids or [tx.new_id() for _ in many]
    shared = await _look_up(tx, caller, many)
    shared.hosts.update(living_on)
    macs = await _take_macs(tx, ids, many, reserved)
    plans = []
    for id, values in zip(ids, many, strict=True):
        plan = Plan(id, values["network_id"], macs[id])
        owner, wanted = values.get("device_owner", ""), values.get("fixed_ips", UNSET)
        subnets = shared.subnets[plan.network_id]
        if wanted is not UNSET:
            await refuse_unseen(tx, caller, wanted, subnets)
        if wanted != ():
            subnets = eligible(subnets, plan.network_id, owner)
        if wanted is UNSET:
            plan.slots = default_slots(subnets)
        else:
            plan.slots = await wanted_slots(tx, wanted, subnets, plan.network_id, owner)
        plan.slots += formed_slots(subnets, owner)
        plans.append(plan)
    await fill(tx, plans)
    made = []
    for plan, values in zip(plans, many, strict=True):
        tx.insert(_row(plan.port_id, caller, values, shared, plan.mac, plan.fixed_ips()))
        row = await tx.get(Port, plan.port_id)
        made.append(Made(row, shown_of_new(row, shared.networks[row.network_id])))
    return made


async def _look_up(tx: Transaction, caller: Caller, many: Sequence[Values]) -> _Shared:
    shared = _Shared(await find_host_names(tx, (values.get("binding_host_id") or "" for values in many)))
    groups: list[tuple[str, str]] = []
    for values in many:
        network_id, project_id = values["network_id"], project_of(caller, values)
        if network_id not in shared.networks:
            shared.networks[network_id] = await get_visible(tx, caller, Network, network_id, kind="network")
            shared.subnets[network_id] = await subnets_of(tx, network_id)
        await check_device(
            tx, caller, project_id, values.get("device_owner", ""), values.get("device_id", "")
        )
        secured = is_secured(values, shared.networks[network_id].port_security_enabled)
        check_new(values, secured=secured)
        wanted = wanted_groups(values)
        if wanted is not None:
            groups += [(id, project_id) for id in wanted]
            await check_not_mixed(tx, wanted)
        elif secured and project_id not in shared.default_groups:
            shared.default_groups[project_id] = await default_group(tx, project_id)
    await check_groups(tx, caller, groups)
    await check_policies(tx, caller, (values.get("qos_policy_id") for values in many))
    return shared


async def _take_macs(
    tx: Transaction, ids: Sequence[str], many: Sequence[Values], reserved: frozenset[Mac]
) -> dict[str, Mac]:
    """A MAC address for each port; first those asked for, so that none is given away in the same request."""
    macs: dict[str, Mac] = {}
    others: dict[str, list[str]] = {}
    for id, values in zip(ids, many, strict=True):
        wanted, network_id = values.get("mac_address", UNSET), values["network_id"]
        # Null asks for a new one: extension port-mac-address-regenerate.
        if wanted is UNSET or wanted is None:
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
    project_id, network = project_of(caller, values), shared.networks[values["network_id"]]
    owner, host_id = values.get("device_owner", ""), values.get("binding_host_id") or ""
    secured = is_secured(values, network.port_security_enabled)
    groups = wanted_groups(values)
    if groups is None:
        groups = (shared.default_groups[project_id],) if secured else ()
    vnic_type, profile = values.get("binding_vnic_type", "normal"), profile_of(values)
    return Port(
        id=id,
        project_id=project_id,
        name=values.get("name", ""),
        description=values.get("description", ""),
        tags=values.get("tags", ()),
        network_id=network.id,
        network_project_id=None if network.project_id == project_id else network.project_id,
        mac_address=mac,
        admin_state_up=values.get("admin_state_up", True),
        fixed_ips=fixed_ips,
        device_id=values.get("device_id", ""),
        device_owner=owner,
        port_security_enabled=secured,
        security_groups=() if is_service(owner) else groups,
        allowed_address_pairs=pairs_of(values.get("allowed_address_pairs", ()), mac),
        qos_policy_id=values.get("qos_policy_id"),
        binding_host_id=host_id,
        binding_vnic_type=vnic_type,
        binding_profile=profile,
        binding_vif_type=vif_type(host_id, shared.hosts, vnic_type, profile),
        extra=new_extra(values),
    )
