"""Binding: a port is on a host, by name, or on none.

A host that joins later does not bind ports that failed before: the compute service sees `binding_failed` and decides.
Saying the same `binding:host_id` again tries again.
"""

from collections.abc import Iterable

from alcor.model.host import Host
from alcor.model.port import Port
from alcor.store.interface import Condition, Query, Transaction

UNBOUND, FAILED, BOUND = "unbound", "binding_failed", "ovs"


async def find_host_names(tx: Transaction, names: Iterable[str]) -> set[str]:
    """Which of `names` are hosts. Cost: one read."""
    wanted = tuple(sorted({name for name in names if name}))
    if not wanted:
        return set()
    return {host.name for host in await tx.list(Host, Query(where=(Condition("name", wanted),)))}


def vif_type(host_name: str, hosts: set[str]) -> str:
    """How the interface is plugged on the host a port names."""
    if not host_name:
        return UNBOUND
    return BOUND if host_name in hosts else FAILED


def next_generation(before: Port, *, host_id: str, vif: str, admin_state_up: bool) -> int:
    """The binding generation after a change: one more whenever what was observed can no longer be trusted."""
    same = (before.binding_host_id, before.binding_vif_type, before.admin_state_up) == (
        host_id,
        vif,
        admin_state_up,
    )
    return before.binding_generation + (not same)
