"""Importing a living port again: the same ID, MAC and addresses, bound where it lives.

What its host cannot know is left as for a new port (device owner, QoS policy, extra attributes). Groups that are gone
are left out; if none is left, the project's default group guards it. A port that is known, but on another host, has
moved since the backup: it is bound where it lives.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from alcor.managers.interface import Caller, Values
from alcor.managers.port.address import is_formed
from alcor.managers.port.binding import BOUND, next_generation, vif_type
from alcor.managers.port.create import create_ports
from alcor.managers.row import name_users, replace_row
from alcor.managers.subnet.manager import subnets_of
from alcor.model.address import Cidr, Ip, Mac, contains
from alcor.model.change import Origin
from alcor.model.errors import AlcorError, Conflict, InUse, InvalidInput, NotFound
from alcor.model.network import Network
from alcor.model.port import Port, WantedIp
from alcor.model.resource import UNSET
from alcor.model.security_group import SecurityGroup
from alcor.store.interface import Condition, Query, Store, Transaction

if TYPE_CHECKING:
    from alcor.managers.epoch.service import Orphan

# What owns an instance's port as long as the compute service has not said more.
_OWNER = "compute:nova"
# So many are imported by one transaction.
TOGETHER_MAX = 64
# So many are asked for by one statement.
_READ_MAX = 500


class Recovered(msgspec.Struct, frozen=True):
    """What became of one port. `state`: imported, known (there already), failed, unknown (nobody holds it)."""

    port_id: str
    state: str
    reason: str = ""


async def recover_all(
    store: Store, caller: Caller, origin: Origin, orphans: Sequence["Orphan"], reserved: frozenset[Mac]
) -> list[Recovered]:
    """Import ports, TOGETHER_MAX in a transaction: a host that has its own back must find those it talks to, too.

    Where one of them cannot be imported, each of its transaction is tried alone. Repeating it changes nothing.
    """
    found: list[Recovered] = []
    for first in range(0, len(orphans), TOGETHER_MAX):
        chosen = orphans[first : first + TOGETHER_MAX]
        importing = _Import(caller, reserved, await _plugged(store, [one.port_id for one in chosen]))
        try:
            found += (await store.write(partial(importing.all, chosen), origin)).value
        except AlcorError:
            found += [await _recover(store, origin, one, importing) for one in chosen]
    return found


async def find_known(store: Store, ids: Sequence[str]) -> set[str]:
    """Which of these ports the region knows."""
    found: set[str] = set()
    for first in range(0, len(ids), _READ_MAX):
        where = (Condition("id", tuple(ids[first : first + _READ_MAX])),)
        found |= {port.id for port in await store.reader.list(Port, Query(where=where))}
    return found


async def _plugged(store: Store, ids: Sequence[str]) -> frozenset[str]:
    """Which of these ports are plugged where they are bound, by the word of agents that are heard now."""
    seen = {id: port for id, port in (await store.observations.ports(ids)).items() if port.plugged}
    hosts = await store.observations.hosts(sorted({port.host_id for port in seen.values()}))
    return frozenset(id for id, port in seen.items() if port.host_id in hosts and hosts[port.host_id].alive)


class _Import(NamedTuple):
    """Importing, for a caller. `plugged`: ports that are plugged where they are bound."""

    caller: Caller
    reserved: frozenset[Mac]
    plugged: frozenset[str]

    async def all(self, orphans: Sequence["Orphan"], tx: Transaction) -> list[Recovered]:
        """Several, or none. Raises: AlcorError."""
        return [await self.one(orphan, tx) for orphan in orphans]

    async def one(self, orphan: "Orphan", tx: Transaction) -> Recovered:
        """Raises: AlcorError."""
        port = await tx.find(Port, orphan.port_id)
        if port is None:
            await _create(tx, self.caller, orphan, self.reserved)
            return Recovered(orphan.port_id, "imported")
        if (port.binding_host_id, port.binding_vif_type) == (orphan.host, BOUND):
            return Recovered(orphan.port_id, "known")
        if orphan.port_id in self.plugged:
            raise Conflict(
                f"It is plugged on host {orphan.host}, and on host {port.binding_host_id}, to which it is bound, too: "
                f"unplug it on one of them; to have it on {orphan.host}, bind it there (binding:host_id).",
                kind="port",
                id=port.id,
            )
        await _bind(tx, port, orphan.host)
        before = f"bound to host {port.binding_host_id}" if port.binding_host_id else "bound to no host"
        return Recovered(orphan.port_id, "imported", f"it was {before}, and lives on host {orphan.host}")


async def _bind(tx: Transaction, port: Port, host: str) -> None:
    """Bind a port to the host on which it lives, also if that takes nothing new."""
    vif = vif_type(host, {host}, port.binding_vnic_type, port.binding_profile)
    generation = next_generation(port, host_id=host, vif=vif, admin_state_up=port.admin_state_up)
    changes = {"binding_host_id": host, "binding_vif_type": vif, "binding_generation": generation}
    await replace_row(tx, port, changes)


async def _create(tx: Transaction, caller: Caller, orphan: "Orphan", reserved: frozenset[Mac]) -> None:
    """Raises: AlcorError."""
    if not orphan.network_id or not orphan.mac_address:
        raise InvalidInput(
            f"the agent of host {orphan.host} does not remember its network and addresses; create a port by "
            "hand and plug the interface into it"
        )
    if await tx.find(Network, orphan.network_id) is None:
        raise NotFound("network", orphan.network_id)
    values = await _values(tx, orphan)
    # It lives there, also if that host takes nothing new.
    try:
        await create_ports(tx, caller, [values], reserved, ids=[orphan.port_id], living_on=[orphan.host])
    except InUse as error:
        users = await _users_of(tx, orphan)
        if not users:
            raise
        raise Conflict(
            f"{error.message} Now it is of {name_users('port', users)}: delete or change that, and import again; or "
            f"shut down the machine on host {orphan.host}.",
            kind="port",
            id=orphan.port_id,
        ) from error


async def _users_of(tx: Transaction, orphan: "Orphan") -> list[str]:
    """The ports that were given the MAC address or an address of an orphan meanwhile."""
    wanted = [Condition("fixed_ips.ip_address", (ip,)) for ip in orphan.ip_addresses]
    found: dict[str, None] = {}
    for one in (Condition("mac_address", (orphan.mac_address,)), *wanted):
        where = (Condition("network_id", (orphan.network_id,)), one)
        found |= dict.fromkeys([port.id for port in await tx.list(Port, Query(where=where))])
    return list(found)


async def _recover(store: Store, origin: Origin, orphan: "Orphan", importing: _Import) -> Recovered:
    """Import one port, in a transaction of its own."""
    try:
        return (await store.write(partial(importing.one, orphan), origin)).value
    except NotFound as error:
        if error.kind != "network":
            return Recovered(orphan.port_id, "failed", error.message)
        return Recovered(orphan.port_id, "failed", _without_network(orphan))
    except AlcorError as error:
        return Recovered(orphan.port_id, "failed", error.message)


def _without_network(orphan: "Orphan") -> str:
    addresses = ", ".join(orphan.ip_addresses) or "no address"
    return (
        f"its network {orphan.network_id} is gone too, and hosts do not hold what it was made of: create a network "
        f"with subnets for {addresses}, and in it a port with MAC {orphan.mac_address} and these addresses; then plug "
        f"the interface on host {orphan.host} into that port (external_ids:iface-id)"
    )


async def _values(tx: Transaction, orphan: "Orphan") -> Values:
    network = await tx.find(Network, orphan.network_id)
    project_id = orphan.project_id or (network.project_id if network is not None else "")
    # Addresses that are formed from the MAC address are formed again.
    formed = [Cidr(one.cidr) for one in await subnets_of(tx, orphan.network_id) if is_formed(one, "")]
    chosen = [ip for ip in orphan.ip_addresses if not any(contains(cidr, Ip(ip)) for cidr in formed)]
    values: Values = {
        "network_id": orphan.network_id,
        "project_id": project_id,
        "name": orphan.name,
        "mac_address": orphan.mac_address,
        "fixed_ips": tuple([WantedIp(None, ip) for ip in chosen]),
        "binding_host_id": orphan.host,
        "device_id": orphan.device_id,
        "device_owner": _OWNER if orphan.device_id else "",
        "admin_state_up": orphan.admin_state_up,
        "port_security_enabled": orphan.port_security_enabled,
        "security_groups": UNSET,
    }
    if orphan.port_security_enabled and orphan.security_groups:
        groups = [id for id in orphan.security_groups if await tx.find(SecurityGroup, id) is not None]
        if groups:
            values["security_groups"] = tuple(groups)
    return values
