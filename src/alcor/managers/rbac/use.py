"""Who uses what was opened to him: the references that keep a policy from being taken away."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alcor.model.floatingip import FloatingIp
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.rbac_policy import AS_EXTERNAL, AS_SHARED
from alcor.model.resource import Entity
from alcor.model.router import Router
from alcor.model.security_group_rule import SecurityGroupRule
from alcor.model.subnet import Subnet
from alcor.model.subnetpool import SubnetPool
from alcor.store.interface import Condition, Op, Query, Transaction

_GATEWAY = "network:router_gateway"
_PAGE_PORTS = 500


@dataclass(frozen=True, slots=True)
class Reference:
    """Rows of `entity` use the opened row whose id is in `field` (an entity's column, or `<lookup>.<column>`)."""

    entity: type[Entity]
    field: str


# A family adds the line of what it refers to. Rows of no project (a router's gateway port) use nothing of their own.
REFERENCES: Mapping[tuple[str, str], Sequence[Reference]] = {
    ("network", AS_SHARED): (Reference(Port, "network_id"),),
    ("subnetpool", AS_SHARED): (Reference(Subnet, "subnetpool_id"),),
    ("address_scope", AS_SHARED): (Reference(SubnetPool, "address_scope_id"),),
    ("security_group", AS_SHARED): (Reference(Port, "security_groups.security_group_id"),),
    ("qos_policy", AS_SHARED): (
        Reference(Network, "qos_policy_id"),
        Reference(Port, "qos_policy_id"),
        Reference(FloatingIp, "qos_policy_id"),
        Reference(Router, "gateway_qos.policy_id"),
    ),
    ("address_group", AS_SHARED): (Reference(SecurityGroupRule, "remote_address_group_id"),),
}
"""(kind of what is opened, action) → who uses it by that right."""


async def find_user(
    tx: Transaction, kind: str, id: str, action: str, *, of: str = "", but: Sequence[str] = ()
) -> Entity | None:
    """A row that uses `kind` `id` by the right of `action`: one of project `of`, or one of any project but `but`.

    Cost: one indexed read of at most one row per reference.
    """
    projects = Condition("project_id", (of,)) if of else Condition("project_id", ("", *but), Op.NONE)
    if (kind, action) == ("network", AS_EXTERNAL):
        return await _find_gateway_user(tx, id, projects)
    for reference in REFERENCES.get((kind, action), ()):
        found = await tx.list(reference.entity, Query((Condition(reference.field, (id,)), projects), limit=1))
        if found:
            return found[0]
    return None


async def _find_gateway_user(tx: Transaction, network_id: str, projects: Condition) -> Router | None:
    """A router with a gateway on an external network. A gateway port is of no project; its router is.

    Cost: two indexed reads per `_PAGE_PORTS` gateways of the network; only administrators close external networks.
    """
    on_it = (Condition("network_id", (network_id,)), Condition("device_owner", (_GATEWAY,)))
    marker = None
    while ports := await tx.list(Port, Query(on_it, limit=_PAGE_PORTS, marker=marker)):
        of_them = Condition("gateways.port_id", tuple(port.id for port in ports))
        routers = await tx.list(Router, Query((of_them, projects), limit=1))
        if routers:
            return routers[0]
        marker = ports[-1].id
    return None
