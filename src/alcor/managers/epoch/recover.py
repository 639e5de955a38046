"""Importing a living port again: the same ID, MAC and addresses, bound where it lives.

What its host cannot know is left as for a new port (device owner, QoS policy, extra attributes). Groups that are gone
are left out; if none is left, the project's default group guards it.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from alcor.managers.interface import Caller, Values
from alcor.managers.port.address import is_formed
from alcor.managers.port.create import create_ports
from alcor.managers.subnet.manager import subnets_of
from alcor.model.address import Cidr, Ip, Mac, contains
from alcor.model.change import Origin
from alcor.model.errors import AlcorError, InvalidInput, NotFound
from alcor.model.network import Network
from alcor.model.port import Port, WantedIp
from alcor.model.resource import UNSET
from alcor.model.security_group import SecurityGroup
from alcor.store.interface import Store, Transaction

if TYPE_CHECKING:
    from alcor.managers.epoch.service import Orphan

# What owns an instance's port as long as the compute service has not said more.
_OWNER = "compute:nova"
# So many are imported by one transaction.
TOGETHER_MAX = 64


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
        try:
            states = (await store.write(partial(_import_all, caller, chosen, reserved), origin)).value
            found += [Recovered(one.port_id, state) for one, state in zip(chosen, states, strict=True)]
        except AlcorError:
            found += [await _recover(store, caller, origin, one, reserved) for one in chosen]
    return found


async def _import_all(
    caller: Caller, orphans: Sequence["Orphan"], reserved: frozenset[Mac], tx: Transaction
) -> list[str]:
    return [await _import(caller, orphan, reserved, tx) for orphan in orphans]


async def _import(caller: Caller, orphan: "Orphan", reserved: frozenset[Mac], tx: Transaction) -> str:
    """Returns `imported` or `known`. Raises: AlcorError."""
    if not orphan.network_id or not orphan.mac_address:
        raise InvalidInput(
            f"the agent of host {orphan.host} does not remember its network and addresses; create a port by "
            "hand and plug the interface into it"
        )
    if await tx.find(Port, orphan.port_id) is not None:
        return "known"
    if await tx.find(Network, orphan.network_id) is None:
        raise NotFound("network", orphan.network_id)
    values = await _values(tx, orphan)
    # It lives there, also if that host takes nothing new.
    await create_ports(tx, caller, [values], reserved, ids=[orphan.port_id], living_on=[orphan.host])
    return "imported"


async def _recover(
    store: Store, caller: Caller, origin: Origin, orphan: "Orphan", reserved: frozenset[Mac]
) -> Recovered:
    """Import one port, in a transaction of its own."""
    try:
        state = (await store.write(partial(_import, caller, orphan, reserved), origin)).value
    except NotFound as error:
        if error.kind != "network":
            return Recovered(orphan.port_id, "failed", error.message)
        return Recovered(orphan.port_id, "failed", _without_network(orphan))
    except AlcorError as error:
        return Recovered(orphan.port_id, "failed", error.message)
    return Recovered(orphan.port_id, state)


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
