"""What must hold of a region's rows whatever was asked of it at the same time, looked up in a store.

Nothing is changed. Findings are sentences that name rows; a sound region has none.
"""

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

from alcor.managers.mac.allocation import space_of as mac_space
from alcor.managers.private_ip.allocation import space_of as address_space
from alcor.managers.vpc.segment import space_of as segment_space
from alcor.model.catalogue import BY_NAME, RESOURCES
from alcor.model.host import Host
from alcor.model.ip_allocation import IpAllocation
from alcor.model.mac_allocation import MacAllocation
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.rbac_policy import RbacPolicy
from alcor.model.resource import Entity
from alcor.model.security_group import SecurityGroup
from alcor.model.segment import Segment
from alcor.model.subnet import Subnet
from alcor.store.interface import Image, Store, Transaction

E = TypeVar("E", bound=Entity)

# Cuts of the change log read at once.
_CUTS = 256
# What routers and their like have on a subnet, beside what is its gateway's address.
_GATEWAY_OWNERS = ("network:router", "network:ha_router")


@dataclass(frozen=True, slots=True)
class Region:
    """All rows at one moment."""

    image: Image

    def all(self, entity: type[E]) -> list[E]:
        """The rows of a kind."""
        return self.image.rows.get(entity, [])

    def ids(self, kind: str) -> set[str]:
        """The ids of a kind's rows, by the name of its resource."""
        return {row.id for row in self.image.rows.get(BY_NAME[kind].entity, [])}


async def audit(store: Store, *, is_log_whole: bool = True) -> list[str]:
    """Everything that is wrong. Cost: all rows and the whole change log are read.

    `is_log_whole`: whether the log goes back to the beginning; it does not in a region that began a new epoch.
    """
    region = Region(await store.image([resource.entity for resource in RESOURCES]))
    found = [
        *_shared_addresses(region),
        *_outside_of_subnets(region),
        *_overlapping_subnets(region),
        *_dangling_references(region),
        *_policies_without_objects(region),
        *_default_groups(region),
    ]
    replayed, seen = await _log(store, region) if is_log_whole else ([], [])
    found += replayed
    found += await _claims(store, _expected_claims(region, seen))
    found += await _tallies(store, region)
    return found


def _twice(keys: Iterable[tuple[str, ...]], sentence: str) -> Iterator[str]:
    for key, count in Counter(keys).items():
        if count > 1:
            yield sentence.format(*key) + f" ({count} times)"


def _shared_addresses(region: Region) -> Iterator[str]:
    """I16: an address is one port's in its subnet, a MAC address one port's in its network."""
    ports = region.all(Port)
    addresses = [(fixed.subnet_id, fixed.ip_address) for port in ports for fixed in port.fixed_ips]
    addresses += [(row.subnet_id, row.ip_address) for row in region.all(IpAllocation)]
    yield from _twice(addresses, "subnet {0}: {1} is given more than once")
    macs = [(row.network_id, row.mac_address) for row in ports]
    macs += [(row.network_id, row.mac_address) for row in region.all(MacAllocation)]
    yield from _twice(macs, "network {0}: {1} is given more than once")


def _outside_of_subnets(region: Region) -> Iterator[str]:
    """A port's addresses are of subnets of its network, inside of them, and not the gateway's unless it is that."""
    subnets = {row.id: row for row in region.all(Subnet)}
    for port in region.all(Port):
        for fixed in port.fixed_ips:
            subnet = subnets.get(fixed.subnet_id)
            where = f"port {port.id}: {fixed.ip_address}"
            if subnet is None:
                continue
            if subnet.network_id != port.network_id:
                yield f"{where} is of subnet {subnet.id}, which is of another network"
            if ipaddress.ip_address(fixed.ip_address) not in ipaddress.ip_network(subnet.cidr):
                yield f"{where} is not inside of subnet {subnet.id} ({subnet.cidr})"
            is_router = port.device_owner.startswith(_GATEWAY_OWNERS)
            if fixed.ip_address == subnet.gateway_ip and not is_router:
                yield f"{where} is the gateway's of subnet {subnet.id}, and it is no router's"


def _overlapping_subnets(region: Region) -> Iterator[str]:
    """Subnets of a network do not overlap."""
    by_network: dict[str, list[Subnet]] = defaultdict(list)
    for subnet in region.all(Subnet):
        by_network[subnet.network_id].append(subnet)
    for network_id, subnets in by_network.items():
        prefixes = sorted((_range_of(one.cidr), one.id) for one in subnets)
        for (before, first), (after, second) in pairwise(prefixes):
            if before[0] == after[0] and after[1] <= before[2]:
                yield f"network {network_id}: subnets {first} and {second} overlap"


def _range_of(cidr: str) -> tuple[int, int, int]:
    """(version, first number, last number)."""
    prefix = ipaddress.ip_network(cidr)
    return prefix.version, int(prefix.network_address), int(prefix.broadcast_address)


def _dangling_references(region: Region) -> Iterator[str]:
    """What a row refers to is there."""
    for resource in RESOURCES:
        for row in region.image.rows.get(resource.entity, []):
            for kind, id in _references(resource, row):
                if kind in BY_NAME and id not in region.ids(kind):
                    yield f"{resource.name} {row.id} refers to {kind} {id}, which is not there"


def _references(resource: Any, row: Entity) -> Iterator[tuple[str, str]]:
    for attribute in resource.attributes:
        value = getattr(row, attribute.field, None) if attribute.refers and attribute.stored else None
        if value:
            yield from ((attribute.refers, one) for one in ([value] if isinstance(value, str) else value))
    for lookup in resource.lookups:
        for column, kind in lookup.refers.items():
            place = lookup.columns.index(column)
            yield from ((kind, values[place]) for values in lookup.rows(row) if values[place])


def _policies_without_objects(region: Region) -> Iterator[str]:
    """An RBAC policy opens a row that is there."""
    for policy in region.all(RbacPolicy):
        if policy.object_type in BY_NAME and policy.object_id not in region.ids(policy.object_type):
            yield f"RBAC policy {policy.id} opens {policy.object_type} {policy.object_id}, which is not there"


def _default_groups(region: Region) -> Iterator[str]:
    """A project has one default group; one that has groups or ports of its own has it."""
    named = Counter(row.project_id for row in region.all(SecurityGroup) if row.name == "default")
    for project_id, count in named.items():
        if count > 1:
            yield f"project {project_id} has {count} default groups"
    for project_id in {row.project_id for row in region.all(SecurityGroup) if row.project_id} - named.keys():
        yield f"project {project_id} has groups, but no default group"


def _expected_claims(region: Region, seen: Iterable[Entity]) -> Mapping[str, Mapping[str, str]]:
    """Space → key → owner, of everything that is taken by a claim and shown by a row. `seen`: rows of the past too:
    what they had must be nobody's now."""
    expected: dict[str, dict[str, str]] = defaultdict(dict)
    for row in (*seen, *region.all(Subnet), *region.all(Network), *region.all(Segment)):
        if isinstance(row, Subnet):
            expected[address_space(row.id)] = {}
        elif isinstance(row, Network):
            expected[mac_space(row.id)] = {}
        elif isinstance(row, Segment) and row.network_type != "local":
            expected[segment_space(row.network_type, row.physical_network)] = {}
    for port in region.all(Port):
        expected[mac_space(port.network_id)][port.mac_address] = port.id
        for fixed in port.fixed_ips:
            expected[address_space(fixed.subnet_id)][fixed.ip_address] = port.id
    for ip in region.all(IpAllocation):
        expected[address_space(ip.subnet_id)][ip.ip_address] = ip.id
    for mac in region.all(MacAllocation):
        expected[mac_space(mac.network_id)][mac.mac_address] = mac.id
    for segment in region.all(Segment):
        if segment.network_type != "local":
            key = str(segment.physical_network if segment.network_type == "flat" else segment.segmentation_id)
            expected[segment_space(segment.network_type, segment.physical_network)][key] = segment.network_id
    expected["host_name"] = {host.name: host.id for host in region.all(Host)}
    expected["vtep"] = {vtep: host.id for host in region.all(Host) for vtep in host.vtep_addresses}
    expected["default_group"] = {
        row.project_id: row.id for row in region.all(SecurityGroup) if row.name == "default"
    }
    return expected


async def _claims(store: Store, expected: Mapping[str, Mapping[str, str]]) -> list[str]:
    """A claim for each row that needs one, its owner's; and no claim without a row."""

    async def look(tx: Transaction) -> list[str]:
        found = []
        for space, owners in expected.items():
            held = await tx.claimed(space, sorted(owners))
            found += [
                f"claim {space}/{key} is {held.get(key, 'nobody')}'s, not {owner}'s"
                for key, owner in owners.items()
                if held.get(key) != owner
            ]
            count = await tx.claims_count(space)
            if count != len(owners):
                found.append(f"{count} claims in {space}, but {len(owners)} rows that have one")
        return found

    return (await store.write(look)).value


async def _tallies(store: Store, region: Region) -> list[str]:
    """What is counted of a project is what there is."""
    found = []
    for resource in RESOURCES:
        if not resource.quota:
            continue
        rows: Sequence[Entity] = region.image.rows.get(resource.entity, [])
        counts = Counter(row.project_id for row in rows if row.project_id)
        tallied = await store.reader.tally(resource.entity, sorted(counts))
        found += [
            f"project {project_id} is counted {tallied.get(project_id, 0)} {resource.name}s, but has {count}"
            for project_id, count in counts.items()
            if tallied.get(project_id, 0) != count
        ]
    return found


async def _log(store: Store, region: Region) -> tuple[list[str], list[Entity]]:
    """The change log, from its beginning, gives the rows; each step begins where the one before it ended.

    Returns: findings; every row that was created.
    """
    found: list[str] = []
    seen: list[Entity] = []
    rows: dict[tuple[str, str], Entity] = {}
    at, last = 0, region.image.position.revision
    while at < last:
        cuts = await store.follow(at, _CUTS)
        if not cuts:
            return [*found, f"the log ends at revision {at}, but the rows are of revision {last}"], seen
        for cut in cuts:
            if cut.revision != at + 1:
                found.append(f"revision {cut.revision} comes after {at}")
            at = cut.revision
            if at > last:
                break
            for change in cut.changes:
                key = (change.kind, change.id)
                if rows.get(key) != change.before:
                    found.append(f"revision {at}: the change of {change.kind} {change.id} begins elsewhere")
                if change.after is None:
                    rows.pop(key, None)
                else:
                    rows[key] = change.after
                    seen += [change.after] if change.before is None else []
    present = {
        (resource.name, row.id): row
        for resource in RESOURCES
        for row in region.image.rows.get(resource.entity, [])
    }
    wrong = {key for key in present.keys() | rows.keys() if present.get(key) != rows.get(key)}
    return found + [f"{kind} {id} is not what the log gives" for kind, id in sorted(wrong)], seen
