"""Ranges of numbers networks get: `/v2.0/network_segment_ranges`.

What operators add here counts beside the configuration, whose own ranges are shown as `default` and cannot be changed.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from alcor.managers.free_number import NumberSet
from alcor.managers.interface import Caller, Joint, Made, Manager, Rows, Values
from alcor.managers.row import name_users, new_row, project_of, replace_row
from alcor.managers.vpc import extensions
from alcor.managers.vpc.segment import default_ranges
from alcor.managers.vpc.segment_row import adopt
from alcor.managers.vpc.settings import BOUNDS, NetworkSettings
from alcor.model.errors import Conflict, InvalidInput, Problem
from alcor.model.network import Network
from alcor.model.network_segment_range import NETWORK_SEGMENT_RANGE, RANGE_TYPES, NetworkSegmentRange
from alcor.model.resource import UNSET
from alcor.model.segment import Segment
from alcor.store.interface import Condition, Query, Store, Transaction

# As many as there are VLANs on a wire: an answer must not list the 16 million free numbers of VXLAN.
AVAILABLE_SHOWN_MAX = 4_094


def manager(settings: NetworkSettings) -> Manager:
    """`/v2.0/network_segment_ranges`."""

    async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
        made = []
        for values in many:
            row = _insert(tx, caller, values, settings)
            await _check_overlap(tx, row)
            made.append(Made(await tx.get(NetworkSegmentRange, row.id)))
        return made

    return Manager(
        NETWORK_SEGMENT_RANGE,
        "vpc",
        create=create,
        update=update,
        delete=delete,
        joint=(NUMBERS,),
        extensions=extensions.RANGE,
    )


def _insert(
    tx: Transaction, caller: Caller, values: Values, settings: NetworkSettings
) -> NetworkSegmentRange:
    type_, physical = values["network_type"], values.get("physical_network")
    physical = None if physical is UNSET or not physical else str(physical)
    if type_ == "vlan" and (physical is None or not settings.knows(physical)):
        raise InvalidInput(
            f"physical_network '{physical}' unknown for a vlan range; known: "
            f"{', '.join(sorted(settings.physical_networks)) or 'none'}.",
            attribute="physical_network",
        )
    _check_bounds(type_, values["minimum"], values["maximum"])
    shared = bool(values.get("shared", True))
    return new_row(
        tx,
        caller,
        NetworkSegmentRange,
        values,
        physical_network=physical if type_ == "vlan" else None,
        project_id="" if shared else project_of(caller, values),
        shared=shared,
    )


def _check_bounds(type_: str, minimum: int, maximum: int) -> None:
    low, high = BOUNDS[type_]
    if not low <= minimum <= maximum <= high:
        raise InvalidInput(
            f"Range {minimum} to {maximum} is not valid for {type_}: it needs {low} <= minimum <= maximum <= {high}."
        )


async def _check_overlap(tx: Transaction, row: NetworkSegmentRange) -> None:
    """Raises: Conflict (RANGE_OVERLAP) if another range operators made has a number of this one."""
    where = (Condition("network_type", (row.network_type,)), Condition("default", (False,)))
    others = [
        other.id
        for other in await tx.list(NetworkSegmentRange, Query(where))
        if other.id != row.id
        and other.physical_network == row.physical_network
        and other.minimum <= row.maximum
        and row.minimum <= other.maximum
    ]
    if others:
        raise Conflict(
            f"Network segment range overlaps with {name_users('range', others)}; choose other numbers.",
            kind="network_segment_range",
            id=row.id,
            problem=Problem.RANGE_OVERLAP,
        )


async def update(
    tx: Transaction, _caller: Caller, row: NetworkSegmentRange, values: Values
) -> NetworkSegmentRange:
    """Rename or move a range. Raises: InvalidInput (bounds, RANGE_READ_ONLY); Conflict (RANGE_OVERLAP, or
    RANGE_REFERENCED if a network has a number that would be outside)."""
    _check_changeable(row)
    after = replace(row, **values)
    _check_bounds(after.network_type, after.minimum, after.maximum)
    await _check_overlap(tx, after)
    inside = NumberSet.of([(after.minimum, after.maximum)])
    outside = [number for number in await _numbers_in(tx, row) if not inside.holds(number, number)]
    _check_unused(row, outside)
    return await replace_row(tx, row, values)


async def delete(tx: Transaction, _caller: Caller, row: NetworkSegmentRange) -> None:
    """Remove a range. Raises: InvalidInput (RANGE_READ_ONLY); Conflict (RANGE_REFERENCED)."""
    _check_changeable(row)
    _check_unused(row, await _numbers_in(tx, row))
    tx.delete(row)


def _check_changeable(row: NetworkSegmentRange) -> None:
    if row.default:
        raise InvalidInput(
            f"Network Segment Range {row.id} is a default segment range, which can only be changed in the "
            "configuration.",
            problem=Problem.RANGE_READ_ONLY,
        )


def _check_unused(row: NetworkSegmentRange, numbers: Sequence[int]) -> None:
    if numbers:
        raise Conflict(
            f"Network Segment Range {row.id} is referenced by one or more project networks: "
            f"{name_users('number', [str(number) for number in numbers])}.",
            kind="network_segment_range",
            id=row.id,
            problem=Problem.RANGE_REFERENCED,
        )


async def _numbers_in(rows: Rows, row: NetworkSegmentRange) -> list[int]:
    """The numbers of a range that segments have. Cost: a read of the segments of its type."""
    return sorted(_number(one) for one in await _segments_in(rows, row))


async def _segments_in(rows: Rows, row: NetworkSegmentRange) -> list[Segment]:
    where = (
        Condition("network_type", (row.network_type,)),
        Condition("physical_network", (row.physical_network,)),
    )
    return _inside(row, await rows.list(Segment, Query(where)))


def _inside(row: NetworkSegmentRange, segments: Iterable[Segment]) -> list[Segment]:
    """Those of the segments that have a number of the range, on its wire."""
    return [
        one
        for one in segments
        if (one.network_type, one.physical_network) == (row.network_type, row.physical_network)
        and row.minimum <= _number(one) <= row.maximum
    ]


def _number(one: Segment) -> int:
    return one.segmentation_id or 0


async def load_numbers(
    store: Store, _caller: Caller, rows: Sequence[NetworkSegmentRange], names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """What is taken and what is free of each range: `used`, number → the project of the network that has it;
    `available`, the lowest free numbers, at most `AVAILABLE_SHOWN_MAX`.

    Cost: a read of the segments of the ranges' types; for `used`, one of their networks.
    """
    types = tuple(sorted({row.network_type for row in rows}))
    segments = await store.reader.list(Segment, Query((Condition("network_type", types),)))
    inside = {row.id: _inside(row, segments) for row in rows}
    found: dict[str, dict[str, Any]] = {}
    if "used" in names:
        ids = sorted({one.network_id for members in inside.values() for one in members})
        networks = await store.reader.find_many(Network, ids)
        found["used"] = {
            id: {
                str(_number(one)): networks[one.network_id].project_id
                for one in sorted(members, key=_number)
                if one.network_id in networks
            }
            for id, members in inside.items()
        }
    if "available" in names:
        found["available"] = {row.id: _free(row, sorted(map(_number, inside[row.id]))) for row in rows}
    return found


NUMBERS = Joint(("used", "available"), load_numbers)


def _free(row: NetworkSegmentRange, taken: Iterable[int]) -> list[int]:
    free = NumberSet.of([(row.minimum, row.maximum)]).without((number, number) for number in taken)
    return [free.at(index) for index in range(min(free.size, AVAILABLE_SHOWN_MAX))]


async def prepare(store: Store, settings: NetworkSettings) -> None:
    """At the start of a region: networks of older releases get their segments, and the configuration's ranges are shown
    as they are now."""
    await adopt(store)
    wanted = set(_defaults(settings))

    async def work(tx: Transaction) -> None:
        present = await tx.list(NetworkSegmentRange, Query((Condition("default", (True,)),)))
        for row in present:
            if _facts(row) not in wanted:
                tx.delete(row)
        for type_, physical, minimum, maximum in sorted(wanted - set(map(_facts, present)), key=str):
            tx.insert(
                NetworkSegmentRange(
                    id=tx.new_id(),
                    network_type=type_,
                    physical_network=physical,
                    minimum=minimum,
                    maximum=maximum,
                    default=True,
                )
            )

    await store.write(work)


_Facts = tuple[str, str | None, int, int]


def _facts(row: NetworkSegmentRange) -> _Facts:
    return row.network_type, row.physical_network, row.minimum, row.maximum


def _defaults(settings: NetworkSettings) -> Iterable[_Facts]:
    for type_ in RANGE_TYPES:
        for physical, numbers in default_ranges(settings, type_).items():
            for first, last in numbers.ranges:
                yield type_, physical, first, last
