"""Connections: that their two ends fit one another, and the router between."""

import ipaddress
import re
from collections.abc import Iterable, Sequence

from msgspec.structs import asdict

from alcor.managers.interface import Caller, Values
from alcor.managers.row import get_visible
from alcor.model.errors import InvalidInput, Problem
from alcor.model.port import Port
from alcor.model.resource import UNSET
from alcor.model.router import ROUTER_INTERFACE, Router
from alcor.model.subnet import Subnet
from alcor.model.vpn import CIDRS, SUBNETS, Connection, Dpd, EndpointGroup, VpnService
from alcor.model.vpn_policy import IkePolicy, IpsecPolicy
from alcor.store.interface import Condition, Query, Transaction

# Source: RFC 791, section 3.2; RFC 8200, section 5.
_MTU_MIN = {4: 68, 6: 1_280}
# Source: RFC 1123, section 2.1.
_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\.?\Z", re.I
)
_REFERENCES = (
    ("vpnservice_id", VpnService, "VPNService"),
    ("ikepolicy_id", IkePolicy, "IKEPolicy"),
    ("ipsecpolicy_id", IpsecPolicy, "IPsecPolicy"),
)


async def check_connection(tx: Transaction, caller: Caller, row: Connection | None, values: Values) -> Values:
    """Raises: NotFound for what is named; InvalidInput for ends that do not fit."""
    said = {name: value for name, value in values.items() if value is not UNSET}
    whole = said if row is None else {name: getattr(row, name) for name in row.__struct_fields__} | said
    if row is None:
        for field, entity, kind in _REFERENCES:
            await get_visible(tx, caller, entity, whole[field], kind=kind)
    service = await tx.get(VpnService, whole["vpnservice_id"])
    _check_way(whole, service)
    version = await _version(tx, caller, whole, service)
    dpd = Dpd(**(asdict(Dpd() if row is None else row.dpd) | (values.get("dpd") or {})))
    if dpd.timeout <= dpd.interval:
        raise InvalidInput(
            f"ipsec_site_connection dpd_timeout {dpd.timeout} is equal to or less than dpd_interval {dpd.interval}.",
            problem=Problem.VPN_DPD,
        )
    if whole["mtu"] and whole["mtu"] < _MTU_MIN[version]:
        raise InvalidInput(
            f"ipsec_site_connection MTU {whole['mtu']} is too small for ipv{version}: at least {_MTU_MIN[version]}.",
            problem=Problem.VPN_MTU,
        )
    if "peer_address" in values:
        await _check_peer(tx, service, values["peer_address"])
    return values | {"dpd": dpd}


def _check_way(whole: Values, service: VpnService) -> None:
    """A service with a subnet has connections with prefixes, another one has endpoint groups at both ends."""
    groups = {end: whole.get(f"{end}_ep_group_id") for end in ("local", "peer")}
    if service.subnet_id is not None:
        if not whole.get("peer_cidrs"):
            raise InvalidInput(
                "Missing peer CIDRs for IPsec site-to-site connection.", problem=Problem.VPN_NO_PEER_CIDRS
            )
        present = " and ".join(end for end, id in groups.items() if id)
        if present:
            raise InvalidInput(
                f"Endpoint group {present} cannot be specified, when VPN Service has subnet specified.",
                problem=Problem.VPN_GROUP_AND_SUBNET,
            )
        return
    if whole.get("peer_cidrs"):
        raise InvalidInput(
            "Peer CIDRs cannot be specified, when using endpoint groups: the VPN service has no subnet.",
            problem=Problem.VPN_PEER_CIDRS,
        )
    absent = " and ".join(end for end, id in groups.items() if not id)
    if absent:
        raise InvalidInput(
            f"Missing endpoint group {absent} for IPSec site-to-site connection.",
            problem=Problem.VPN_GROUP_MISSING,
        )


async def _version(tx: Transaction, caller: Caller, whole: Values, service: VpnService) -> int:
    """The IP version of both ends. Raises: InvalidInput if they are not all of one."""
    if service.subnet_id is not None:
        local = (await tx.get(Subnet, service.subnet_id)).ip_version
        peers = _one_version(_versions(whole["peer_cidrs"]), "Peer CIDRs", Problem.VPN_MIXED_CIDRS)
    else:
        group = await _group(tx, caller, whole["local_ep_group_id"], SUBNETS)
        subnets = [await tx.get(Subnet, id) for id in group.endpoints]
        await connected_to(tx, service.router_id, subnets)
        local = _one_version(
            {subnet.ip_version for subnet in subnets},
            f"Endpoints in group {group.id}",
            Problem.VPN_MIXED_ENDPOINTS,
        )
        group = await _group(tx, caller, whole["peer_ep_group_id"], CIDRS)
        peers = _one_version(
            _versions(group.endpoints), f"Endpoints in group {group.id}", Problem.VPN_MIXED_ENDPOINTS
        )
    if local != peers:
        raise InvalidInput(
            f"IP versions are not compatible between peer and local endpoints: {peers} and {local}.",
            problem=Problem.VPN_MIXED_ENDS,
        )
    return local


def _versions(prefixes: Iterable[str]) -> set[int]:
    return {ipaddress.ip_network(prefix, strict=False).version for prefix in prefixes}


def _one_version(versions: set[int], what: str, problem: Problem) -> int:
    if len(versions) != 1:
        raise InvalidInput(
            f"{what} do not have the same IP version, as required for IPSec site-to-site connection.",
            problem=problem,
        )
    return versions.pop()


async def _group(tx: Transaction, caller: Caller, id: str, expected: str) -> EndpointGroup:
    group = await get_visible(tx, caller, EndpointGroup, id, kind="VPNEndpointGroup")
    if group.type != expected:
        raise InvalidInput(
            f"Endpoint group {group.id} type is '{group.type}' and should be '{expected}'.",
            problem=Problem.VPN_GROUP_TYPE,
        )
    return group


async def connected_to(tx: Transaction, router_id: str, subnets: Sequence[Subnet]) -> None:
    """Raises: InvalidInput if a router is not on all of the subnets. Cost: one read."""
    of_it = (Condition("device_id", (router_id,)), Condition("device_owner", (ROUTER_INTERFACE,)))
    present = {fixed.subnet_id for port in await tx.list(Port, Query(of_it)) for fixed in port.fixed_ips}
    for subnet in subnets:
        if subnet.id not in present:
            raise InvalidInput(
                f"Subnet {subnet.id} is not connected to Router {router_id}.",
                problem=Problem.VPN_SUBNET_ELSEWHERE,
            )


async def _check_peer(tx: Transaction, service: VpnService, address: str) -> None:
    """An address must be reachable by the router's gateway; a name is the host's to resolve."""
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        if not _NAME.match(address):
            raise InvalidInput(
                f"Peer address {address} cannot be resolved: it is neither an IP address nor a name.",
                problem=Problem.VPN_PEER_ADDRESS,
            ) from None
        return
    router = await tx.get(Router, service.router_id)
    ports = [await tx.get(Port, id) for id in router.gateway_ports]
    present = {ipaddress.ip_address(fixed.ip_address).version for port in ports for fixed in port.fixed_ips}
    if version not in present:
        raise InvalidInput(
            f"Router's {router.id} external network has no IPv{version} subnet, so peer {address} cannot be reached.",
            problem=Problem.VPN_PEER_VERSION,
        )
