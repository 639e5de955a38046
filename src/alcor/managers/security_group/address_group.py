"""Address groups: `/v2.0/address-groups`."""

from collections.abc import Sequence
from typing import Any

from alcor.managers.interface import Caller, Made, Values
from alcor.managers.rbac.share import forget
from alcor.managers.row import NAMED_MAX, name_users, new_row, replace_row
from alcor.model.address_group import ADDRESSES, AddressGroup
from alcor.model.errors import Conflict, InUse, InvalidInput, Problem
from alcor.model.security_group_rule import SecurityGroupRule
from alcor.store.interface import Condition, Query, Transaction


async def create_address_groups(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Add address groups; an address that is named twice is in it once."""
    made = []
    for values in many:
        addresses = tuple(dict.fromkeys(values.get("addresses") or ()))
        row = new_row(tx, caller, AddressGroup, values | {"addresses": addresses})
        made.append(Made(await tx.get(AddressGroup, row.id)))
    return made


async def update_address_group(
    tx: Transaction, _caller: Caller, row: AddressGroup, values: Values
) -> AddressGroup:
    """Change name or description."""
    return await replace_row(tx, row, values)


async def delete_address_group(tx: Transaction, _caller: Caller, row: AddressGroup) -> None:
    """Raises: InUse naming the rules that name it."""
    naming = Query((Condition("remote_address_group_id", (row.id,)),), limit=NAMED_MAX + 1)
    rules = await tx.list(SecurityGroupRule, naming)
    if rules:
        users = name_users("security group rule", [rule.id for rule in rules])
        raise InUse("address_group", row.id, by=users)
    await forget(tx, row)
    tx.delete(row)


async def add_addresses(tx: Transaction, _caller: Caller, row: AddressGroup, body: Values) -> dict[str, Any]:
    """Add prefixes. Raises: InvalidInput for a body that is no list of prefixes, or a prefix that is there."""
    wanted = _wanted(body)
    there = [address for address in wanted if address in row.addresses]
    if there:
        raise InvalidInput(
            f"Addresses {', '.join(there)} already exist in the address group {row.id}.",
            problem=Problem.ADDRESSES_EXIST,
        )
    return await _replace(tx, row, (*row.addresses, *wanted))


async def remove_addresses(
    tx: Transaction, _caller: Caller, row: AddressGroup, body: Values
) -> dict[str, Any]:
    """Remove prefixes. Raises: InvalidInput for a body that is no list of prefixes; Conflict if one is not there."""
    wanted = _wanted(body)
    absent = [address for address in wanted if address not in row.addresses]
    if absent:
        raise Conflict(
            f"Addresses {', '.join(absent)} not found in the address group {row.id}.",
            kind="address_group",
            id=row.id,
            problem=Problem.ADDRESSES_MISSING,
        )
    gone = set(wanted)
    return await _replace(tx, row, tuple(address for address in row.addresses if address not in gone))


def _wanted(body: Values) -> tuple[str, ...]:
    unknown = sorted(body.keys() - {"addresses"})
    if unknown or "addresses" not in body:
        raise InvalidInput(
            f'The body is {{"addresses": [prefix, …]}}; it has {unknown or "no addresses"}.',
            problem=Problem.UNKNOWN_ATTRIBUTE,
        )
    try:
        return tuple(dict.fromkeys(ADDRESSES.parse(body["addresses"])))
    except ValueError as error:
        raise InvalidInput(str(error), attribute="addresses") from error


async def _replace(tx: Transaction, row: AddressGroup, addresses: tuple[str, ...]) -> dict[str, Any]:
    return {"address_group": await replace_row(tx, row, {"addresses": addresses})}
