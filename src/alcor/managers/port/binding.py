"""Binding: a port is on a host, by name, or on none; other hosts may stand by for it.

A host that joins later does not bind ports that failed before: the compute service sees `binding_failed` and decides.
Saying the same `binding:host_id` again tries again.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from alcor.managers.interface import Values
from alcor.model.errors import InUse, Problem
from alcor.model.host import Host
from alcor.model.port import Port
from alcor.store.interface import Condition, Query, Transaction

UNBOUND, FAILED, BOUND = "unbound", "binding_failed", "ovs"

PHYSICAL = "direct-physical"
# What a host's Open vSwitch has a port of: a tap, or the representor of a function that is offloaded to the card.
# The others need a driver of another kind, and there is none.
_ON_SWITCH = frozenset({"normal", "vdpa", "smart-nic"})


async def find_host_names(tx: Transaction, names: Iterable[str]) -> set[str]:
    """Which of `names` are hosts that take new work. Cost: one read."""
    wanted = tuple(sorted({name for name in names if name}))
    if not wanted:
        return set()
    found = await tx.list(Host, Query(where=(Condition("name", wanted),)))
    return {host.name for host in found if host.takes_work}


def vif_type(
    host_name: str, hosts: set[str], vnic_type: str = "normal", profile: Mapping[str, Any] | None = None
) -> str:
    """How an interface of a type is plugged on the host a port names.

    `direct` needs the capability `switchdev` in its profile: then its representor is on the switch.
    """
    if not host_name:
        return UNBOUND
    capabilities = (profile or {}).get("capabilities")
    offloaded = vnic_type == "direct" and isinstance(capabilities, list) and "switchdev" in capabilities
    return BOUND if host_name in hosts and (vnic_type in _ON_SWITCH or offloaded) else FAILED


def next_generation(before: Port, *, host_id: str, vif: str, admin_state_up: bool) -> int:
    """The binding generation after a change: one more whenever what was observed can no longer be trusted."""
    same = (before.binding_host_id, before.binding_vif_type, before.admin_state_up) == (
        host_id,
        vif,
        admin_state_up,
    )
    return before.binding_generation + (not same)


async def change_binding(tx: Transaction, row: Port, values: Values) -> dict[str, Any]:
    """What a change of host, type, profile or administrative state brings with it.

    Raises: InUse if the type of a bound port is to change: its server has the old device.
    """
    host_id, vif = row.binding_host_id, row.binding_vif_type
    vnic_type = values.get("binding_vnic_type", row.binding_vnic_type)
    profile = values.get("binding_profile", row.binding_profile)
    if vnic_type != row.binding_vnic_type and vif != UNBOUND:
        raise InUse(
            "port",
            row.id,
            by=f"it is bound to host {host_id} as {row.binding_vnic_type}, so binding:vnic_type cannot become "
            f"{vnic_type}; unbind it first",
        )
    if "binding_host_id" in values:
        host_id = values["binding_host_id"] or ""
    if "binding_host_id" in values or vnic_type == "direct":
        hosts = await find_host_names(tx, [host_id])
        if host_id == row.binding_host_id and vif == BOUND:
            # What is on a host stays, though the host takes nothing new.
            hosts.add(host_id)
        vif = vif_type(host_id, hosts, vnic_type, profile)
    up = values.get("admin_state_up", row.admin_state_up)
    return {
        "binding_host_id": host_id,
        "binding_vif_type": vif,
        "binding_generation": next_generation(row, host_id=host_id, vif=vif, admin_state_up=up),
    }


def check_numa(row: Port, values: Values) -> None:
    """Raises: InUse if the NUMA policy of a bound port is to change: its server is placed already."""
    if "numa_affinity_policy" in values and row.binding_vif_type == BOUND:
        raise InUse(
            "port",
            row.id,
            by=f"it is bound to host {row.binding_host_id}, so numa_affinity_policy cannot become "
            f"{values['numa_affinity_policy']}; unbind it first",
            problem=Problem.PORT_BOUND_NUMA,
        )
