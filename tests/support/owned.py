"""One row of every resource that can be created, owned by a project: made through the API by an administrator.

What a resource requires follows from its declaration; `_RECIPES` says what does not.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from alcor.managers.interface import Manager
from alcor.managers.registry import managers
from alcor.model.resource import REQUIRED, Resource, Who
from alcor.model.token import Token
from alcor.store.interface import Store, Transaction
from tests.support.api import Api, Json

OWNER, STRANGER, SERVICE = "0" * 31 + "a", "0" * 31 + "b", "0" * 31 + "c"

MANAGERS: Mapping[str, Manager] = {one.resource.name: one for one in managers() if isinstance(one, Manager)}
"""By the name of the resource; views are resources of their own."""

CALLERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "manager": (OWNER, ("manager", "member", "reader")),
    "member": (OWNER, ("member", "reader")),
    "reader": (OWNER, ("reader",)),
    "roleless": (OWNER, ()),
    "stranger": (STRANGER, ("manager", "member", "reader")),
    "unscoped": ("", ("manager", "member", "reader")),
    "service": (SERVICE, ("service",)),
}
"""Whom the tests ask as: name → (project, roles). Their tokens' secrets are their names."""


async def add_callers(store: Store) -> None:
    """Store a token for each of `CALLERS`."""

    async def work(tx: Transaction) -> None:
        for name, (project_id, roles) in CALLERS.items():
            digest = hashlib.sha256(name.encode()).hexdigest()
            tx.insert(
                Token(id=tx.new_id(), project_id=project_id, digest=digest, is_admin=False, roles=roles)
            )

    await store.write(work)


class World:
    """The rows of one project. Each kind is made once, when it is first needed."""

    def __init__(self, admin: Api, project_id: str, *, number: int = 0) -> None:
        self.admin, self.project_id, self.number = admin, project_id, number
        self._made: dict[str, Json] = {}

    async def need(self, kind: str) -> Json:
        """The project's row of a kind; also of those that are no resource: `external`, `behind`, `scoped`."""
        if kind not in self._made:
            special = _SPECIAL.get(kind)
            self._made[kind] = await (special(self) if special is not None else self.make(kind))
        return self._made[kind]

    async def make(self, kind: str) -> Json:
        """A new row of a kind."""
        resource = MANAGERS[kind].resource
        said = await self.body(kind)
        if resource.attribute("project_id") is not None:
            attribute = resource.attribute("project_id")
            if attribute is not None and attribute.create is not Who.NOBODY:
                said["project_id"] = self.project_id
        answer = await self.admin.client.post(await self.path(kind), json={resource.member_key: said})
        assert answer.status_code == 201, (
            f"no {kind} could be made of {said}: {answer.text}\nSay in tests/support/owned.py what one needs."
        )
        found: Json = answer.json()[resource.member_key]
        return found

    async def body(self, kind: str) -> Json:
        """The attributes a new row of a kind needs, its project aside."""
        recipe = _RECIPES.get(kind) or _RECIPES.get(MANAGERS[kind].resource.view_of)
        said = await recipe(self) if recipe is not None else {}
        for a in MANAGERS[kind].resource.attributes:
            if a.default is REQUIRED and a.create is not Who.NOBODY and a.name not in said:
                said[a.name] = (await self.need(a.refers))["id"] if a.refers else _sample(a.type.schema())
        return said

    async def path(self, kind: str) -> str:
        """The path of the collection; of a sub-resource, that inside the project's own parent."""
        resource = MANAGERS[kind].resource
        if resource.parent is None:
            return f"{resource.prefix}/{resource.collection}"
        above = await self.need(resource.parent.resource)
        return f"{await self.path(resource.parent.resource)}/{above['id']}/{resource.collection}"

    def net(self, tail: str) -> str:
        """An address of the project's own /16."""
        return f"10.{50 + self.number}.{tail}"


def key_of(resource: Resource, row: Json) -> str:
    """What a path names a row by."""
    found: str = row[resource.key]
    return found


def _sample(schema: Any) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "integer":
        return schema.get("minimum", 1)
    return "sample"


_Recipe = Callable[[World], Awaitable[Json]]


async def _subnet(w: World) -> Json:
    return {"network_id": (await w.need("network"))["id"], "cidr": w.net("0.0/24"), "ip_version": 4}


async def _port(w: World) -> Json:
    return {"network_id": (await w.need("subnet"))["network_id"]}


async def _external(w: World) -> Json:
    network = await w.admin.a_network(**{"router:external": True})
    await w.admin.a_subnet(network["id"], f"203.0.{100 + w.number}.0/24")
    await w.admin.a_subnet(network["id"], f"2001:db8:{w.number}::/64")
    return network


async def _behind(w: World) -> Json:
    """A router between the project's subnet and an external network."""
    outside = await w.need("external")
    body = {"project_id": w.project_id, "external_gateway_info": {"network_id": outside["id"]}}
    router = await w.admin.made("router", **body)
    six = await w.admin.a_subnet(
        (await w.need("subnet"))["network_id"], f"fd00:{w.number}::/64", project_id=w.project_id
    )
    for subnet in (await w.need("subnet"), six):
        path = f"/v2.0/routers/{router['id']}/add_router_interface"
        assert (await w.admin.put(path, {"subnet_id": subnet["id"]})).status_code == 200
    return router


async def _floatingip(w: World) -> Json:
    await w.need("behind")
    return {"floating_network_id": (await w.need("external"))["id"]}


async def _elasticip(w: World) -> Json:
    return await _floatingip(w)


async def _port_forwarding(w: World) -> Json:
    port = await w.need("port")
    return {
        "internal_port_id": port["id"],
        "internal_ip_address": port["fixed_ips"][0]["ip_address"],
        "protocol": "tcp",
        "internal_port": 80,
        "external_port": 8080,
    }


async def _scoped(w: World) -> Json:
    """A pool of an IPv6 address scope, which inner and outer networks share: NDP proxies need one."""
    scope = await w.admin.made("address_scope", ip_version=6, project_id=w.project_id)
    return await w.admin.made(
        "subnetpool",
        name="six",
        prefixes=[f"2001:db8:{10 + w.number}::/48"],
        default_prefixlen=64,
        address_scope_id=scope["id"],
        project_id=w.project_id,
    )


async def _ndp_proxy(w: World) -> Json:
    pool = (await w.need("scoped"))["id"]
    networks = [
        await w.admin.a_network(**{"router:external": external, "project_id": w.project_id})
        for external in (True, False)
    ]
    subnets = [
        await w.admin.made(
            "subnet", network_id=one["id"], ip_version=6, subnetpool_id=pool, project_id=w.project_id
        )
        for one in networks
    ]
    router = await w.admin.made(
        "router",
        project_id=w.project_id,
        external_gateway_info={"network_id": networks[0]["id"]},
        enable_ndp_proxy=True,
    )
    path = f"/v2.0/routers/{router['id']}/add_router_interface"
    assert (await w.admin.put(path, {"subnet_id": subnets[1]["id"]})).status_code == 200
    port = await w.admin.a_port(networks[1]["id"], project_id=w.project_id)
    return {"router_id": router["id"], "port_id": port["id"]}


async def _new_port(w: World) -> Json:
    """A port that nothing uses yet."""
    return {"port_id": (await w.make("port"))["id"]}


async def _rbac(w: World) -> Json:
    network = await w.need("network")
    target = SERVICE if w.project_id == STRANGER else "d" * 32
    return {
        "object_type": "network",
        "object_id": network["id"],
        "target_tenant": target,
        "action": "access_as_shared",
    }


async def _ip_range(w: World) -> Json:
    subnet = await w.need("subnet")
    return {"subnet_id": subnet["id"], "first_ip": w.net("0.100"), "last_ip": w.net("0.110")}


async def _local_ip(w: World) -> Json:
    return {"network_id": (await w.need("subnet"))["network_id"]}


async def _peering(w: World) -> Json:
    networks = [
        (await w.admin.made("vpc", cidr=w.net(f"{tail}.0/24"), project_id=w.project_id))["id"]
        for tail in (200, 201)
    ]
    return {"network_id": networks[0], "peer_network_id": networks[1]}


async def _elastic_range(w: World) -> Json:
    subnet = (await w.need("external"))["id"]
    [four] = await w.admin.shown(f"/v2.0/subnets?network_id={subnet}&ip_version=4")
    first = f"203.0.{100 + w.number}"
    return {
        "subnet_id": four["id"],
        "allocation_ranges": [{"start": f"{first}.200", "end": f"{first}.210"}],
    }


def _fixed(**said: Any) -> _Recipe:
    async def recipe(_w: World) -> Json:
        return dict(said)

    return recipe


def _with(kind: str, attribute: str, **said: Any) -> _Recipe:
    async def recipe(w: World) -> Json:
        return {attribute: (await w.need(kind))["id"], **said}

    return recipe


async def _range(w: World) -> Json:
    first = 5_000 + 100 * w.number
    return {"network_type": "vxlan", "shared": False, "minimum": first, "maximum": first + 9}


async def _pool(w: World) -> Json:
    return {"name": "pool", "prefixes": [f"10.{150 + w.number}.0.0/16"]}


async def _mac_range(w: World) -> Json:
    return {"first": f"02:0{w.number}:00:00:00:00", "last": f"02:0{w.number}:00:00:00:ff"}


async def _port_pair(w: World) -> Json:
    port = await w.make("port")
    body = {"port": {"device_id": "server", "device_owner": "compute:nova"}}
    assert (await w.admin.put(f"/v2.0/ports/{port['id']}", body)).status_code == 200
    return {"ingress": port["id"], "egress": port["id"]}


async def _port_chain(w: World) -> Json:
    return {"port_pair_groups": [(await w.make("port_pair_group"))["id"]]}


async def _tap_mirror(w: World) -> Json:
    return {"remote_ip": "192.0.2.9", "directions": {"IN": 99}, **await _new_port(w)}


async def _connection(w: World) -> Json:
    router, subnet = await w.need("behind"), await w.need("subnet")
    service = await w.admin.made(
        "vpnservice", router_id=router["id"], subnet_id=subnet["id"], project_id=w.project_id
    )
    return {
        "vpnservice_id": service["id"],
        "peer_address": "198.51.100.1",
        "peer_id": "198.51.100.1",
        "peer_cidrs": ["192.0.2.0/24"],
        "psk": "hush",
    }


async def _tap_flow(w: World) -> Json:
    return {"source_port": (await w.make("port"))["id"], "direction": "BOTH"}


_SPECIAL: Mapping[str, _Recipe] = {"external": _external, "behind": _behind, "scoped": _scoped}
_RECIPES: Mapping[str, _Recipe] = {
    "segment": _with("network", "network_id", network_type="geneve"),
    "network_segment_range": _range,
    "address_scope": _fixed(ip_version=4),
    "subnetpool": _pool,
    "subnet": _subnet,
    "port": _port,
    "trunk": _new_port,
    "mac_range": _mac_range,
    "ip": _with("subnet", "subnet_id"),
    "host": _fixed(vtep_addresses=["192.0.2.7"]),
    "service_profile": _fixed(metainfo="sample"),
    "flavor": _fixed(service_type="L3_ROUTER_NAT"),
    "log": _fixed(resource_type="security_group"),
    "rbac_policy": _rbac,
    "conntrack_helper": _fixed(protocol="udp", port=69, helper="tftp"),
    "ndp_proxy": _ndp_proxy,
    "floatingip": _floatingip,
    "elasticip": _elasticip,
    "port_forwarding": _port_forwarding,
    "local_ip": _local_ip,
    "metering_label_rule": _with("metering_label", "metering_label_id", remote_ip_prefix="10.0.0.0/24"),
    "ip_range": _ip_range,
    "bgp_peer": _fixed(peer_ip="192.0.2.1", remote_as=64_512, auth_type="none"),
    "bgp_speaker": _fixed(local_as=64_512, ip_version=4),
    "tap_service": _new_port,
    "tap_flow": _tap_flow,
    "ncm": _fixed(uri="http://ncm:9697"),
    "vpc_peering": _peering,
    "route_table": _with("subnet", "subnet_id"),
    "tap_mirror": _tap_mirror,
    "port_pair": _port_pair,
    "port_chain": _port_chain,
    "vpnservice": _with("behind", "router_id"),
    "endpoint_group": _fixed(type="cidr", endpoints=["192.0.2.0/24"]),
    "ipsec_site_connection": _connection,
    "elastic_ip_range": _elastic_range,
}
"""Kind → the attributes that do not follow from the declaration; a view's are those of what it shows."""
