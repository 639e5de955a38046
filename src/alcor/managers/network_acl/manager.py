"""`/network-acls`: lists of rules, and the subnets they count for."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from alcor.managers.interface import Caller, Made, Manager, Rows, Values
from alcor.managers.network_acl.rule import add, forget, rule_manager, rules_of
from alcor.managers.private_ip.named import get_subnet
from alcor.managers.row import get_visible, new_row, replace_row
from alcor.model.errors import Conflict, InvalidInput, Problem
from alcor.model.network import Network
from alcor.model.network_acl import NETWORK_ACL, NetworkAcl, NetworkAclRule
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, Query, Store, Transaction

_SUBNETS, _DEFAULTS = "network_acl_subnet", "network_acl_default"


def family() -> tuple[Manager, ...]:
    """`/network-acls` and `/network-acl-rules`."""
    lists = Manager(
        NETWORK_ACL,
        "network-acl",
        create=create,
        update=update,
        delete=delete,
        computed={"network_acl_rules": load_rules},
    )
    return lists, rule_manager()


async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Add ACLs with their rules.

    Raises: NotFound (network, subnet); InvalidInput for a subnet of another network, or a rule that contradicts itself;
            Conflict if a subnet has an ACL, the network has a default one, or two rules have one number.
    """
    made = []
    for values in many:
        network = await get_visible(tx, caller, Network, values["network_id"], kind="network")
        row = new_row(tx, caller, NetworkAcl, {**values, "network_acl_rules": ()}, network_id=network.id)
        await _associate(tx, caller, row, row.associated_subnets)
        if row.is_default:
            await _take_default(tx, row)
        for said in values.get("network_acl_rules", ()):
            await add(tx, caller, row, said)
        made.append(Made(await tx.get(NetworkAcl, row.id)))
    return made


async def _associate(tx: Transaction, caller: Caller, row: NetworkAcl, subnet_ids: Iterable[str]) -> None:
    for id in subnet_ids:
        subnet = await get_subnet(tx, caller, id)
        if subnet.network_id != row.network_id:
            raise InvalidInput(
                f"subnet {id} is of network {subnet.network_id}, and the ACL is for network {row.network_id}.",
                attribute="associated_subnets",
            )
        if not await tx.claim(_SUBNETS, id, row.id):
            other = (await tx.claimed(_SUBNETS, [id])).get(id, "")
            raise Conflict(
                f"Subnet {id} has network ACL {other} already; take it out of that one first.",
                kind="network_acl",
                id=other,
                problem=Problem.ACL_SUBNET_TAKEN,
            )


async def _take_default(tx: Transaction, row: NetworkAcl) -> None:
    if not await tx.claim(_DEFAULTS, row.network_id, row.id):
        other = (await tx.claimed(_DEFAULTS, [row.network_id])).get(row.network_id, "")
        raise Conflict(
            f"Network {row.network_id} has the default ACL {other} already; make that one an ordinary one first.",
            kind="network_acl",
            id=other,
            problem=Problem.ACL_DEFAULT_EXISTS,
        )


async def update(tx: Transaction, caller: Caller, row: NetworkAcl, values: Values) -> NetworkAcl:
    """Change name, subnets, or whether it is the default one. Raises: as `create`."""
    before, after = set(row.associated_subnets), set(values.get("associated_subnets", row.associated_subnets))
    for id in before - after:
        tx.release(_SUBNETS, id)
    await _associate(tx, caller, row, sorted(after - before))
    wanted = values.get("is_default", row.is_default)
    if wanted and not row.is_default:
        await _take_default(tx, row)
    elif row.is_default and not wanted:
        tx.release(_DEFAULTS, row.network_id)
    return await replace_row(tx, row, values)


async def delete(tx: Transaction, _caller: Caller, row: NetworkAcl) -> None:
    """Remove an ACL with its rules; its subnets have the default one, or none."""
    for rule in await tx.list(NetworkAclRule, rules_of([row.id])):
        forget(tx, rule)
    for id in row.associated_subnets:
        tx.release(_SUBNETS, id)
    if row.is_default:
        tx.release(_DEFAULTS, row.network_id)
    tx.delete(row)


async def leave(tx: Transaction, subnet: Subnet) -> None:
    """A subnet goes: its ACL no longer counts for it."""
    where = Query((Condition("associated_subnets.subnet_id", (subnet.id,)),))
    for row in await tx.list(NetworkAcl, where):
        tx.release(_SUBNETS, subnet.id)
        left = tuple(id for id in row.associated_subnets if id != subnet.id)
        await replace_row(tx, row, {"associated_subnets": left})


async def load_rules(
    store: Store, _caller: Caller, rows: Sequence[NetworkAcl]
) -> dict[str, list[dict[str, Any]]]:
    """The rules of each ACL in the order in which packets meet them. Cost: one read."""
    return await _rules(store.reader, [row.id for row in rows])


async def _rules(rows: Rows, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {id: [] for id in ids}
    rules = await rows.list(NetworkAclRule, rules_of(ids))
    for rule in sorted(rules, key=lambda rule: (rule.direction, rule.number)):
        document = msgspec.structs.asdict(rule)
        del document["tags"]
        found[rule.network_acl_id].append(document)
    return found


async def effective(store: Store, _caller: Caller, row: Subnet) -> dict[str, Any]:
    """`GET /subnets/<id>/network_acl`: the ACL that counts for a subnet, its own or the VPC's default; null if none."""
    own = await store.reader.list(
        NetworkAcl, Query((Condition("associated_subnets.subnet_id", (row.id,)),), limit=1)
    )
    of_vpc = Query((Condition("network_id", (row.network_id,)), Condition("is_default", (True,))), limit=1)
    found = own or await store.reader.list(NetworkAcl, of_vpc)
    if not found:
        return {"network_acl": None}
    rules = (await _rules(store.reader, [found[0].id]))[found[0].id]
    return {
        "network_acl": {
            "id": found[0].id,
            "name": found[0].name,
            "is_default": found[0].is_default,
            "network_acl_rules": rules,
        }
    }
