"""VPNs: `/v2.0/vpn/ikepolicies`, `/v2.0/vpn/ipsecpolicies`, `/v2.0/vpn/vpnservices`, `/v2.0/vpn/endpoint-groups` and
`/v2.0/vpn/ipsec-site-connections`.
"""

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import asdict

from alcor.managers.interface import Caller, Loader, Manager, Values
from alcor.managers.plain import plain_manager
from alcor.managers.router.named import get_subnet
from alcor.managers.row import NAMED_MAX, get_visible, name_users
from alcor.managers.vpn.connection import check_connection, connected_to
from alcor.model.errors import Conflict, InUse, InvalidInput, NotFound, Problem
from alcor.model.extension import Extension
from alcor.model.flavor import Flavor
from alcor.model.ids import is_uuid
from alcor.model.port import Port
from alcor.model.resource import Resource
from alcor.model.router import Router
from alcor.model.subnet import Subnet
from alcor.model.vpn import (
    CIDRS,
    CONNECTION,
    ENDPOINT_GROUP,
    SUBNETS,
    VPN_SERVICE,
    Connection,
    EndpointGroup,
    VpnService,
)
from alcor.model.vpn_policy import IKE_POLICY, IPSEC_POLICY, Lifetime
from alcor.store.interface import Condition, Query, Store, Transaction

_SERVICE = "vpn"
_VPN_TYPE = "VPN"
_VPNS = Extension(
    "vpnaas",
    "VPN service",
    "VPN services, policies and connections are kept; hosts build no such tunnels yet.",
    "2013-05-29T10:00:00-00:00",
)
_GROUPS = Extension(
    "vpn-endpoint-groups",
    "VPN Endpoint Groups",
    "The ends of VPN connections are kept as groups.",
    "2015-08-04T10:00:00-00:00",
)
_FLAVORS = Extension(
    "vpn-flavors",
    "VPN Service Flavor Extension",
    "A VPN service may name a flavor.",
    "2017-04-19T00:00:00-00:00",
)
_ALGORITHMS = (
    Extension(
        "vpn-aes-ccm-gcm",
        "VPN support for AES CCM, GCM modes",
        "Policies may name AES with CCM and GCM, and further groups.",
        "2023-10-24T11:00:00-00:00",
    ),
    Extension(
        "vpn-aes-ctr",
        "VPN support for AES CTR mode",
        "Policies may name AES with CTR.",
        "2024-01-09T09:00:00-00:00",
    ),
)


def family() -> tuple[Manager, ...]:
    """Policies, services, endpoint groups and connections."""
    return (
        _policies(IKE_POLICY, "ikepolicy_id", Problem.VPN_IKE_POLICY_IN_USE, _ALGORITHMS),
        _policies(IPSEC_POLICY, "ipsecpolicy_id", Problem.VPN_IPSEC_POLICY_IN_USE, ()),
        plain_manager(
            VPN_SERVICE,
            _SERVICE,
            check=_check_service,
            removal=_unused("vpnservice", "vpnservice_id", Problem.VPN_SERVICE_IN_USE),
            computed={"external_v4_ip": _outer_address(4), "external_v6_ip": _outer_address(6)},
            extensions=(_VPNS, _FLAVORS),
        ),
        plain_manager(
            ENDPOINT_GROUP, _SERVICE, check=_check_group, removal=_check_group_unused, extensions=(_GROUPS,)
        ),
        plain_manager(CONNECTION, _SERVICE, check=check_connection),
    )


def _policies(resource: Resource, field: str, problem: Problem, extensions: tuple[Extension, ...]) -> Manager:
    """Policies of one kind: a connection keeps them as they are."""
    unused = _unused(resource.name, field, problem)

    async def check(tx: Transaction, caller: Caller, row: Any, values: Values) -> Values:
        """Raises: InUse if a connection has it."""
        if row is not None:
            await unused(tx, caller, row)
        if "lifetime" not in values:
            return values
        present = asdict(Lifetime() if row is None else row.lifetime)
        return values | {"lifetime": Lifetime(**(present | values["lifetime"]))}

    return plain_manager(resource, _SERVICE, check=check, removal=unused, extensions=extensions)


def _unused(kind: str, field: str, problem: Problem) -> Callable[[Transaction, Caller, Any], Any]:
    async def check(tx: Transaction, _caller: Caller, row: Any) -> None:
        """Raises: InUse naming the connections that have it."""
        await _check_unused(tx, kind, row.id, field, problem)

    return check


async def _check_unused(tx: Transaction, kind: str, id: str, field: str, problem: Problem) -> None:
    found = await tx.list(Connection, Query((Condition(field, (id,)),), limit=NAMED_MAX + 1))
    if found:
        raise InUse(
            kind, id, by=name_users("ipsec site connection", [one.id for one in found]), problem=problem
        )


async def _check_service(tx: Transaction, caller: Caller, row: Any, values: Values) -> Values:
    """Raises: NotFound; InvalidInput for a router without a gateway, a subnet that is not on it, or a flavor of
    something else; Conflict for a flavor that is disabled."""
    if row is not None:
        return values
    router = await get_visible(tx, caller, Router, values["router_id"], kind="router")
    if values["flavor_id"] is not None:
        await _check_flavor(tx, values["flavor_id"])
    if not router.gateway_ports:
        raise InvalidInput(
            f"Router {router.id} has no external network gateway set.", problem=Problem.VPN_ROUTER_INNER
        )
    if values["subnet_id"] is not None:
        subnet = await get_subnet(tx, caller, values["subnet_id"])
        await connected_to(tx, router.id, [subnet])
    return values


async def _check_flavor(tx: Transaction, id: str) -> None:
    flavor = await tx.get(Flavor, id)
    if flavor.service_type != _VPN_TYPE:
        raise InvalidInput(
            f"Flavor {id} is of service type {flavor.service_type}; a VPN service needs one of {_VPN_TYPE}.",
            problem=Problem.VPN_FLAVOR_TYPE,
        )
    if not flavor.enabled:
        raise Conflict(f"Flavor {id} is not enabled; choose another.", kind="flavor", id=id)


def _outer_address(version: int) -> Loader:
    async def load(store: Store, _caller: Caller, rows: Sequence[Any]) -> dict[str, Any]:
        """The address of each service's router on its first external network. Cost: two reads."""
        routers = await store.reader.find_many(Router, sorted({row.router_id for row in rows}))
        first = {router.id: router.gateway_ports[0] for router in routers.values() if router.gateway_ports}
        ports = await store.reader.find_many(Port, sorted(first.values()))
        return {row.id: _address_of(ports.get(first.get(row.router_id, "")), version) for row in rows}

    return load


def _address_of(port: Port | None, version: int) -> str | None:
    fixed = () if port is None else port.fixed_ips
    return next((one.ip_address for one in fixed if _version_of(one.ip_address) == version), None)


def _version_of(address: str) -> int:
    return ipaddress.ip_address(address).version


async def _check_group(tx: Transaction, caller: Caller, row: Any, values: Values) -> Values:
    """Raises: InvalidInput for no ends, one twice, or one that is not of the group's type."""
    if row is not None:
        return values
    kind, endpoints = values["type"], values["endpoints"]
    if not endpoints:
        raise InvalidInput(
            "No endpoints specified for endpoint group; name at least one.", problem=Problem.VPN_NO_ENDPOINTS
        )
    for index, endpoint in enumerate(endpoints):
        if endpoint in endpoints[:index]:
            raise _bad_endpoint(kind, endpoint, "endpoints have to be unique")
        if kind == CIDRS and not _is_prefix(endpoint):
            raise _bad_endpoint(kind, endpoint, "invalid CIDR")
        if kind == SUBNETS:
            await _check_subnet(tx, caller, endpoint)
    return values


async def _check_subnet(tx: Transaction, caller: Caller, id: str) -> None:
    if not is_uuid(id):
        raise _bad_endpoint(SUBNETS, id, "invalid UUID")
    try:
        await get_visible(tx, caller, Subnet, id, kind="subnet")
    except NotFound as error:
        raise InvalidInput(
            f"Subnet {id} in endpoint group does not exist.", problem=Problem.VPN_ENDPOINT_MISSING
        ) from error


def _is_prefix(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return "/" in text


def _bad_endpoint(kind: str, endpoint: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"Endpoint '{endpoint}' is invalid for group type '{kind}': {why}.", problem=Problem.VPN_ENDPOINT
    )


async def _check_group_unused(tx: Transaction, _caller: Caller, row: EndpointGroup) -> None:
    for field in ("local_ep_group_id", "peer_ep_group_id"):
        await _check_unused(tx, "endpoint_group", row.id, field, Problem.VPN_GROUP_IN_USE)


async def keep_subnet(tx: Transaction, subnet: Subnet) -> None:
    """Raises: InUse if a subnet that is to be deleted is an end of a VPN."""
    services = await tx.list(VpnService, Query((Condition("subnet_id", (subnet.id,)),), limit=1))
    if services:
        raise InUse(
            "subnet", subnet.id, by=f"VPN service {services[0].id}", problem=Problem.VPN_SUBNET_OF_SERVICE
        )
    groups = await tx.list(EndpointGroup, Query((Condition("subnets.subnet_id", (subnet.id,)),), limit=1))
    if groups:
        raise InUse(
            "subnet", subnet.id, by=f"endpoint group {groups[0].id}", problem=Problem.VPN_SUBNET_OF_GROUP
        )
