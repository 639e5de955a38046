"""The numbers that tell networks apart on the underlay: VXLAN and Geneve identifiers, GRE keys, VLANs.

Taken by a claim (`vni:vxlan`, `vlan:<physical network>` …); the owner is the network. Neither the number of networks
nor of writers matters to the cost: one random probe on a primary key.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from alcor.managers.free_number import REST_S, NumberSet, Space, take_numbers
from alcor.managers.vpc.settings import BOUNDS, NetworkSettings
from alcor.model.errors import Conflict, Exhausted, InvalidInput, Problem
from alcor.model.network import ProviderSegment
from alcor.model.network_segment_range import NetworkSegmentRange
from alcor.store.interface import Condition, Query, Transaction

_NOUNS = {
    "vxlan": "VXLAN network identifier",
    "geneve": "Geneve network identifier",
    "gre": "GRE key",
    "vlan": "VLAN",
}
_FLAT = "flat"


@dataclass(frozen=True, slots=True)
class Seat:
    """Whom a segment is taken for."""

    network_id: str
    project_id: str


def space_of(network_type: str, physical_network: str | None) -> str:
    """The claim space of a type's numbers; a flat network's key is the physical network itself."""
    if network_type == "vlan":
        return f"vlan:{physical_network}"
    return _FLAT if network_type == "flat" else f"vni:{network_type}"


def check(settings: NetworkSettings, wanted: ProviderSegment) -> None:
    """Raises: InvalidInput for a combination of type, physical network and number that makes no sense."""
    type_, physical, number = wanted.network_type, wanted.physical_network, wanted.segmentation_id
    if type_ is None:
        raise InvalidInput("network_type required: name it with the other provider attributes.")
    if type_ in ("flat", "local") and number is not None:
        raise InvalidInput(f"provider:segmentation_id prohibited for a {type_} network; leave it out.")
    if type_ in ("vxlan", "geneve", "gre", "local") and physical is not None:
        raise InvalidInput(
            f"provider:physical_network '{physical}' specified for a {type_} network, "
            "which is not tied to a physical network; leave it out."
        )
    if type_ == "flat" and physical is None:
        raise InvalidInput("physical_network required for a flat network: name provider:physical_network.")
    if type_ == "vlan" and physical is None and number is not None:
        raise InvalidInput("segmentation_id requires physical_network for a vlan network: name both.")
    if physical is not None and not settings.knows(physical):
        raise InvalidInput(
            f"physical_network '{physical}' unknown for a {type_} network; known: "
            f"{', '.join(sorted(settings.physical_networks)) or 'none'}."
        )
    if number is not None:
        low, high = BOUNDS[type_]
        if not low <= number <= high:
            raise InvalidInput(f"segmentation_id {number} out of range ({low} through {high}).")


def is_complete(wanted: ProviderSegment) -> bool:
    """Whether nothing of the segment is left to choose."""
    return wanted.network_type not in BOUNDS or wanted.segmentation_id is not None


async def take(tx: Transaction, wanted: ProviderSegment, network_id: str) -> None:
    """Take the complete segment that was asked for, or refuse; it is never replaced by another.

    Raises: Conflict (SEGMENT_TAKEN, VLAN_TAKEN, FLAT_TAKEN).
    """
    type_, physical = str(wanted.network_type), wanted.physical_network
    if type_ == "local":
        return
    key = str(physical) if type_ == "flat" else str(wanted.segmentation_id)
    if not await tx.claim(space_of(type_, physical), key, network_id):
        raise taken(wanted, network_id)


def taken(way: ProviderSegment, network_id: str) -> Conflict:
    """The error of a network that asks for a segment that is used."""
    type_, physical = str(way.network_type), way.physical_network
    if type_ == "flat":
        return Conflict(
            f"Unable to create the flat network. Physical network {physical} is in use by another flat network; "
            "there is one on each.",
            kind="network",
            id=network_id,
            problem=Problem.FLAT_TAKEN,
        )
    where = f" on physical network {physical}" if type_ == "vlan" else ""
    return Conflict(
        f"Unable to create the network. {_NOUNS.get(type_, type_)} {way.segmentation_id}{where} is in use by another "
        "network; choose another, or leave it out to have one allocated.",
        kind="network",
        id=network_id,
        problem=Problem.VLAN_TAKEN if type_ == "vlan" else Problem.SEGMENT_TAKEN,
    )


def release(tx: Transaction, segment: ProviderSegment) -> None:
    """Give a segment back; its number rests, lest a lagging host deliver into its next network."""
    type_ = str(segment.network_type)
    space = space_of(type_, segment.physical_network)
    if type_ == "flat":
        tx.release(space, str(segment.physical_network))
    elif segment.segmentation_id is not None:
        tx.release(space, str(segment.segmentation_id), rest_s=REST_S)


async def allocate(
    tx: Transaction, settings: NetworkSettings, wanted: ProviderSegment, seats: Sequence[Seat]
) -> dict[str, ProviderSegment]:
    """Take a free number of a type (and physical network, if one is named) for each seat.

    Order: numbers of the project's own ranges first, then those that are for all.
    Returns: network id → its segment; seats for which nothing is left are not there.
    """
    type_ = str(wanted.network_type)
    if type_ not in BOUNDS:
        return {seat.network_id: wanted for seat in seats}
    ranges = await ranges_of(tx, type_)
    given: dict[str, ProviderSegment] = {}
    # One allocation for all whose project has no range of its own; that is nearly always everybody.
    private = {one.project_id for one in ranges if not one.shared}
    groups: dict[str, list[str]] = {}
    for seat in seats:
        groups.setdefault(seat.project_id if seat.project_id in private else "", []).append(seat.network_id)
    for project_id, left in groups.items():
        for physical, numbers in _pools(settings, ranges, wanted, project_id):
            keys = await take_numbers(tx, Space(space_of(type_, physical), numbers, str), left)
            segments = (ProviderSegment(type_, physical, int(key)) for key in keys)
            given |= dict(zip(left, segments, strict=False))
            left = left[len(keys) :]
            if not left:
                break
    return given


async def allocate_default(
    tx: Transaction, settings: NetworkSettings, seats: Sequence[Seat]
) -> dict[str, ProviderSegment]:
    """A segment for each network that says nothing of one: of the first tenant type that has numbers left.

    Returns: network id → segment. Raises: Exhausted.
    """
    given: dict[str, ProviderSegment] = {}
    for type_ in settings.tenant_types:
        left = [seat for seat in seats if seat.network_id not in given]
        if left:
            given |= await allocate(tx, settings, ProviderSegment(type_), left)
    if len(given) < len(seats):
        types = " or ".join(_NOUNS.get(type_, type_) for type_ in settings.tenant_types)
        raise Exhausted(
            f"network identifiers ({types})", "for a network of this project", problem=Problem.NO_SEGMENT_LEFT
        )
    return given


async def allocate_one(
    tx: Transaction, settings: NetworkSettings, wanted: ProviderSegment, seat: Seat
) -> ProviderSegment:
    """The segment that was asked for, completed and taken. Raises: as `check` and `take`; Exhausted."""
    check(settings, wanted)
    if is_complete(wanted):
        await take(tx, wanted, seat.network_id)
        return wanted
    found = await allocate(tx, settings, wanted, [seat])
    if seat.network_id not in found:
        type_ = str(wanted.network_type)
        where = (
            f"on {wanted.physical_network}" if wanted.physical_network else "in the ranges for this project"
        )
        raise Exhausted(f"network identifiers ({_NOUNS[type_]})", where, problem=Problem.NO_SEGMENT_LEFT)
    return found[seat.network_id]


async def ranges_of(tx: Transaction, network_type: str) -> list[NetworkSegmentRange]:
    """The ranges operators made by the API, for a type. Those of the configuration are in the settings."""
    where = (Condition("network_type", (network_type,)), Condition("default", (False,)))
    return await tx.list(NetworkSegmentRange, Query(where))


def default_ranges(settings: NetworkSettings, type_: str) -> dict[str | None, NumberSet]:
    """Physical network (None for a tunnel) → the numbers the configuration gives to networks."""
    if type_ == "vlan":
        return {name: numbers for name, numbers in settings.vlan_ranges.items() if numbers.size}
    return {None: NumberSet.of([BOUNDS[type_]])}


def _pools(
    settings: NetworkSettings,
    ranges: Sequence[NetworkSegmentRange],
    wanted: ProviderSegment,
    project_id: str,
) -> list[tuple[str | None, NumberSet]]:
    """(physical network, numbers) to choose from, in order; numbers of other projects' ranges are left out."""
    own: dict[str | None, list[tuple[int, int]]] = {}
    others: dict[str | None, list[tuple[int, int]]] = {}
    for_all: dict[str | None, list[tuple[int, int]]] = {
        physical: list(numbers.ranges)
        for physical, numbers in default_ranges(settings, str(wanted.network_type)).items()
    }
    for one in ranges:
        kind = for_all if one.shared else own if one.project_id == project_id else others
        kind.setdefault(one.physical_network or None, []).append((one.minimum, one.maximum))
    pools = [(physical, NumberSet.of(mine)) for physical, mine in own.items()]
    pools += [
        (physical, NumberSet.of(shared).without(others.get(physical, ())))
        for physical, shared in for_all.items()
    ]
    named = wanted.physical_network
    return [(physical, numbers) for physical, numbers in pools if named in (None, physical)]
