"""The Virtual MAC Manager's own endpoints: `/macs`, addresses taken without a port, and `/mac-ranges`."""

from collections.abc import Iterable, Sequence

from alcor.managers.free_number import NumberSet
from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.mac.allocation import allocate, load_numbers, release, take
from alcor.managers.row import get_visible, project_of, replace_row
from alcor.model.address import Mac, mac_bytes, mac_int
from alcor.model.errors import Conflict, InvalidInput, NotFound, Problem
from alcor.model.mac_allocation import ACTIVE, MAC_ALLOCATION, MacAllocation
from alcor.model.mac_range import MAC_RANGE, MacRange
from alcor.model.network import Network
from alcor.model.resource import UNSET
from alcor.store.interface import Transaction


def manager(reserved: Iterable[Mac]) -> Manager:
    """`/macs`. `reserved` addresses are never given."""
    kept = frozenset(reserved)

    async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
        return [Made(await _create(tx, caller, values, kept)) for values in many]

    async def update(tx: Transaction, _caller: Caller, row: MacAllocation, values: Values) -> MacAllocation:
        return await _update(tx, row, values, kept)

    return Manager(MAC_ALLOCATION, "mac", create=create, update=update, delete=delete)


async def _create(tx: Transaction, caller: Caller, values: Values, reserved: frozenset[Mac]) -> MacAllocation:
    """Take an address on a network: the one named, or a free one of the enabled ranges, or of one of them.

    Raises: NotFound (also the range), InUse, InvalidInput, Exhausted; as `mac.allocation`.
    """
    network = await get_visible(tx, caller, Network, values["network_id"], kind="network")
    id = tx.new_id()
    wanted = values.get("mac_address", UNSET)
    numbers = await _numbers_of(tx, values.get("range_id"), wanted)
    if wanted is UNSET:
        [mac] = await allocate(tx, numbers or await load_numbers(tx), network.id, [id], reserved)
    else:
        mac = Mac(wanted)
        await take(tx, network.id, mac, id, reserved)
    tx.insert(
        MacAllocation(
            id=id,
            project_id=project_of(caller, values),
            name=values.get("name", ""),
            description=values.get("description", ""),
            network_id=network.id,
            mac_address=mac,
            state=values.get("state", ACTIVE),
        )
    )
    return await tx.get(MacAllocation, id)


async def _numbers_of(tx: Transaction, range_id: str | None, wanted: object) -> NumberSet | None:
    """The addresses of a range that is named, None if none is. Raises: NotFound; InvalidInput if it gives none, or
    not the one that is wanted."""
    if range_id is None:
        return None
    found = await tx.find(MacRange, range_id)
    if found is None:
        raise NotFound("mac_range", range_id)
    numbers = NumberSet.of([(mac_int(Mac(found.first)), mac_int(Mac(found.last)))])
    if not found.enabled:
        raise InvalidInput(
            f"MAC range {range_id} is not enabled; enable it, or name another.", attribute="range_id"
        )
    if wanted is not UNSET and not numbers.holds(mac_int(Mac(str(wanted))), mac_int(Mac(str(wanted)))):
        raise InvalidInput(
            f"{wanted} is not in MAC range {range_id} ({found.first} to {found.last}).",
            attribute="mac_address",
        )
    return numbers


async def _update(
    tx: Transaction, row: MacAllocation, values: Values, reserved: frozenset[Mac]
) -> MacAllocation:
    """Change name, description or state; or take another address and give the old one back, both or neither.

    Raises: InUse, InvalidInput; as `mac.allocation`.
    """
    wanted = values.get("mac_address", row.mac_address)
    if wanted != row.mac_address:
        await take(tx, row.network_id, Mac(wanted), row.id, reserved)
        release(tx, row.network_id, Mac(row.mac_address))
    return await replace_row(tx, row, values)


async def delete(tx: Transaction, _caller: Caller, row: MacAllocation) -> None:
    """Give the address back; it rests before it is given again."""
    release(tx, row.network_id, Mac(row.mac_address))
    tx.delete(row)


def range_manager() -> Manager:
    """`/mac-ranges`."""
    return Manager(MAC_RANGE, "mac", create=create_ranges, update=update_range, delete=delete_range)


async def create_ranges(tx: Transaction, _caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Add ranges that addresses are taken from.

    Raises: InvalidInput if the bounds are in the wrong order or span multicast addresses; Conflict if the
            range overlaps another.
    """
    stored = list(await tx.list(MacRange))
    made = []
    for values in many:
        first, last = Mac(values["first"]), Mac(values["last"])
        _check_bounds(first, last)
        for other in stored:
            if mac_int(first) <= mac_int(Mac(other.last)) and mac_int(Mac(other.first)) <= mac_int(last):
                raise Conflict(
                    f"MAC range {first} to {last} overlaps range {other.id} ({other.first} to {other.last}).",
                    kind="mac_range",
                    id=other.id,
                    problem=Problem.POOLS_OVERLAP,
                )
        row = MacRange(
            id=tx.new_id(),
            name=values.get("name", ""),
            description=values.get("description", ""),
            first=first,
            last=last,
            enabled=values.get("enabled", True),
        )
        tx.insert(row)
        stored.append(row)
        made.append(Made(await tx.get(MacRange, row.id)))
    return made


def _check_bounds(first: Mac, last: Mac) -> None:
    if mac_int(first) > mac_int(last):
        raise InvalidInput(f"the range ends ({last}) before it begins ({first}).", attribute="last")
    if mac_bytes(first)[0] != mac_bytes(last)[0]:
        # Every second value of the first octet is a group address: such a range would hold multicast addresses.
        raise InvalidInput(
            f"{first} to {last} spans multicast addresses; both bounds must have the same first octet.",
            attribute="last",
        )


async def update_range(tx: Transaction, _caller: Caller, row: MacRange, values: Values) -> MacRange:
    """Change name, description, or whether addresses are taken from the range."""
    return await replace_row(tx, row, values)


async def delete_range(tx: Transaction, _caller: Caller, row: MacRange) -> None:
    """Take no more addresses from the range; what it gave stays with its ports.

    A region whose last range is deleted gets the default one again when it needs an address.
    """
    tx.delete(row)
