"""What is known of addresses: who has one, and how many of a subnet's or a network's are taken."""

from typing import Any

from alcor.managers.interface import Ask, Route, Service
from alcor.managers.private_ip.allocation import space_of
from alcor.managers.private_ip.availability import count_subnets
from alcor.managers.private_ip.named import get_subnet, subnets_of
from alcor.managers.row import get_visible
from alcor.managers.sharing import may_use
from alcor.model.address import Cidr, contains, parse_ip
from alcor.model.errors import InvalidInput, Problem
from alcor.model.ip_allocation import ACTIVATED, IpAllocation
from alcor.model.network import Network
from alcor.model.network_ip_availability import total_of
from alcor.model.port import Port
from alcor.model.subnet import Subnet
from alcor.store.interface import Store, Transaction

FREE = "free"
_READ = "role:reader or rule:admin_only"
_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_NULLABLE = {"anyOf": [_TEXT, {"type": "null"}]}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_USAGE = _object(
    {
        "subnet_id": _TEXT,
        "network_id": _TEXT,
        "cidr": _TEXT,
        "ip_version": {"type": "integer"},
        "total_ips": _COUNT,
        "used_ips": _COUNT,
        "available_ips": _COUNT,
    }
)
_STATE = _object(
    {
        "subnet_id": _TEXT,
        "ip_address": _TEXT,
        "state": _TEXT,
        "port_id": _NULLABLE,
        "ip_id": _NULLABLE,
    }
)


def service() -> Service:
    """`GET /ips/usage?subnet_id=…|network_id=…` and `GET /ips/state/<subnet>/<address>`."""
    return Service(
        "private-ip",
        (
            Route(
                "GET",
                "/ips/usage",
                usage,
                "get_ip_usage",
                _READ,
                "How many addresses of a subnet, or of each of a network's, are taken: ?subnet_id= or ?network_id=",
                schema=_object({"usage": {"type": "array", "items": _USAGE}}),
            ),
            Route(
                "GET",
                "/ips/state/{subnet_id}/{ip_address}",
                state,
                "get_ip_state",
                _READ,
                "Whether an address of a subnet is taken, and by whom",
                schema=_object({"ip_state": _STATE}),
            ),
        ),
    )


async def usage(store: Store, ask: Ask) -> dict[str, Any]:
    """The numbers of each subnet named. Raises: InvalidInput for other parameters; NotFound."""
    named = dict(ask.pairs)
    if len(ask.pairs) != 1 or not named.keys() <= {"subnet_id", "network_id"}:
        raise InvalidInput(
            "Name one of subnet_id and network_id: /ips/usage?subnet_id=<id>.", problem=Problem.BAD_REQUEST
        )
    if "subnet_id" in named:
        subnets = [await get_subnet(store.reader, ask.caller, named["subnet_id"])]
    else:
        network = await get_visible(store.reader, ask.caller, Network, named["network_id"], kind="network")
        subnets = await subnets_of(store.reader, network.id)
    return {"usage": [await usage_of(store, subnet) for subnet in subnets]}


async def usage_of(store: Store, row: Subnet) -> dict[str, Any]:
    """The numbers of one subnet; an address taken outside of the pools is used, but takes nothing from what is left.

    Cost: one pass over the subnet's claims.
    """
    count, total = (await count_subnets(store, [row]))[row.id], total_of(row)
    in_pools = count.used_in_pools if row.allocation_pools else count.used
    return {
        "subnet_id": row.id,
        "network_id": row.network_id,
        "cidr": row.cidr,
        "ip_version": row.ip_version,
        "total_ips": total,
        "used_ips": count.used,
        "available_ips": max(total - in_pools, 0),
    }


async def state(store: Store, ask: Ask) -> dict[str, Any]:
    """Who has an address. An owner the caller does not see is not named. Raises: NotFound; InvalidInput."""
    try:
        ip = parse_ip(ask.names["ip_address"])
    except ValueError as error:
        raise InvalidInput(str(error), attribute="ip_address") from error

    async def work(tx: Transaction) -> dict[str, Any]:
        subnet = await get_subnet(tx, ask.caller, ask.names["subnet_id"])
        if not contains(Cidr(subnet.cidr), ip):
            raise InvalidInput(
                f"IP address {ip} is not in subnet {subnet.id} ({subnet.cidr}).",
                problem=Problem.ADDRESS_NOT_IN_SUBNET,
            )
        owner = (await tx.claimed(space_of(subnet.id), [ip])).get(ip)
        found = {"subnet_id": subnet.id, "ip_address": ip, "state": FREE, "port_id": None, "ip_id": None}
        if owner is None:
            return found
        taken, port = await tx.find(IpAllocation, owner), await tx.find(Port, owner)
        found["state"] = ACTIVATED if taken is None else taken.state
        for name, row in (("ip_id", taken), ("port_id", port)):
            if row is not None and await may_use(tx, ask.caller, row):
                found[name] = row.id
        return found

    return {"ip_state": (await store.write(work)).value}
