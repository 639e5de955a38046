"""Many clients at once: whatever they do to the same rows, every answer is one the API has, and the region is sound."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from alcor.model.port import Port
from alcor.model.security_group import SecurityGroup
from alcor.model.subnet import Subnet
from alcor.store.interface import Store, Transaction
from alcor.store.postgres import PostgresStore
from tests.support.apart import Apart
from tests.support.api import (
    ADMIN_PROJECT,
    ADMIN_TOKEN,
    MEMBER_PROJECT,
    MEMBER_TOKEN,
    add_token,
    serving,
)
from tests.support.audit import audit
from tests.support.postgres import server
from tests.support.store import ADAPTERS, OpenStore
from tests.support.world import build_world

Json = dict[str, Any]

CLIENTS = 10
CALLS_EACH = 60
CALLS_EACH_LONG = 400
# What a call may be refused with when others change the same rows: it is gone, in use, taken, not its own any more.
_REFUSALS = {400, 403, 404, 409, 412}


@pytest.fixture(params=ADAPTERS)
def open_store(request: pytest.FixtureRequest) -> OpenStore:
    """How to open a store in a folder, once per adapter."""
    opener: OpenStore = request.param
    return opener


class Client:
    """One of many: it does what its own dice say, to whatever rows there are."""

    def __init__(self, client: httpx.AsyncClient, outside: str, seed: int) -> None:
        self.client, self.outside, self.dice = client, outside, Random(seed)
        self.headers = {"X-Auth-Token": ADMIN_TOKEN if seed % 3 else MEMBER_TOKEN}
        self.statuses: dict[int, int] = {}
        self.broken: list[str] = []
        self._calls: list[Callable[[], Awaitable[Any]]] = [
            self._create_network,
            self._create_subnet,
            *[self._create_port] * 4,
            self._create_ports,
            *[self._update_port] * 3,
            *[self._delete("ports")] * 3,
            self._delete("subnets"),
            self._delete("networks"),
            self._create_group,
            *[self._create_rule] * 2,
            self._delete("security-groups"),
            self._create_router,
            *[self._add_interface] * 2,
            self._remove_interface,
            self._delete("routers"),
            *[self._create_floating] * 2,
            *[self._associate] * 2,
            self._delete("floatingips"),
            self._share,
        ]

    async def run(self, count: int) -> None:
        """So many calls, one after the other."""
        for _ in range(count):
            await self.dice.choice(self._calls)()

    async def _send(self, method: str, path: str, body: Json | None = None) -> httpx.Response:
        more = {} if body is None else {"json": body}
        answer = await self.client.request(method, f"/v2.0/{path}", headers=self.headers, **more)  # type: ignore[arg-type]  # a body is JSON
        self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
        if answer.status_code >= 300 and answer.status_code not in _REFUSALS:
            self.broken.append(f"{method} {path} {body} → {answer.status_code} {answer.text[:300]}")
        return answer

    async def _any(self, collection: str, where: str = "") -> Json | None:
        answer = await self._send("GET", f"{collection}?{where}")
        rows = next(iter(answer.json().values())) if answer.status_code == 200 else []
        return self.dice.choice(rows) if rows else None

    async def _any_inside(self) -> Json | None:
        return await self._any("networks", "router:external=False")

    async def _create_network(self) -> None:
        await self._send("POST", "networks", {"network": {"name": "n", "tags": ["a"]}})

    async def _create_subnet(self) -> None:
        if network := await self._any_inside():
            # Few prefixes, so that they meet; small ones, so that they are full.
            cidr = f"10.0.{self.dice.randrange(4)}.0/{self.dice.choice([27, 28])}"
            said = {"network_id": network["id"], "cidr": cidr, "ip_version": 4}
            await self._send("POST", "subnets", {"subnet": said})

    def _new_port(self, network_id: str) -> Json:
        port: Json = {"network_id": network_id}
        if self.dice.random() < 0.3:
            port["fixed_ips"] = [{"ip_address": f"10.0.0.{self.dice.randrange(2, 12)}"}]
        if self.dice.random() < 0.3:
            port["mac_address"] = f"0a:00:00:00:00:{self.dice.randrange(8):02x}"
        return port

    async def _create_port(self) -> None:
        if network := await self._any_inside():
            await self._send("POST", "ports", {"port": self._new_port(network["id"])})

    async def _create_ports(self) -> None:
        if network := await self._any_inside():
            await self._send("POST", "ports", {"ports": [self._new_port(network["id"]) for _ in range(3)]})

    async def _update_port(self) -> None:
        port, group = await self._any("ports", "device_owner="), await self._any("security-groups")
        if port is None:
            return
        said: Json = self.dice.choice(
            [
                {"name": f"p{self.dice.random()}"},
                {"fixed_ips": [{"ip_address": f"10.0.0.{self.dice.randrange(2, 12)}"}]},
                {"mac_address": f"0a:00:00:00:00:{self.dice.randrange(8):02x}"},
                {"security_groups": [group["id"]] if group else []},
                {"allowed_address_pairs": [{"ip_address": "10.9.9.9"}]},
            ]
        )
        await self._send("PUT", f"ports/{port['id']}", {"port": said})

    def _delete(self, collection: str) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            row = await self._any(collection, "router:external=False" if collection == "networks" else "")
            if row is not None:
                await self._send("DELETE", f"{collection}/{row['id']}")

        return run

    async def _create_group(self) -> None:
        await self._send("POST", "security-groups", {"security_group": {"name": "g"}})

    async def _create_rule(self) -> None:
        if group := await self._any("security-groups"):
            port = self.dice.randrange(1, 6)
            said = {"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp"}
            said |= {"port_range_min": port, "port_range_max": port}
            await self._send("POST", "security-group-rules", {"security_group_rule": said})

    async def _create_router(self) -> None:
        gateway = {"external_gateway_info": {"network_id": self.outside}} if self.dice.random() < 0.7 else {}
        await self._send("POST", "routers", {"router": {"name": "r", **gateway}})

    async def _add_interface(self) -> None:
        router, subnet = await self._any("routers"), await self._any("subnets", "cidr=10.0.0.0/27")
        if router and subnet:
            await self._send(
                "PUT", f"routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]}
            )

    async def _remove_interface(self) -> None:
        port = await self._any("ports", "device_owner=network:router_interface")
        if port:
            path = f"routers/{port['device_id']}/remove_router_interface"
            await self._send("PUT", path, {"port_id": port["id"]})

    async def _create_floating(self) -> None:
        await self._send("POST", "floatingips", {"floatingip": {"floating_network_id": self.outside}})

    async def _associate(self) -> None:
        floating, port = await self._any("floatingips"), await self._any("ports", "device_owner=")
        if floating and port:
            wanted = self.dice.choice([port["id"], port["id"], None])
            await self._send("PUT", f"floatingips/{floating['id']}", {"floatingip": {"port_id": wanted}})

    async def _share(self) -> None:
        if network := await self._any_inside():
            said = {"object_type": "network", "object_id": network["id"], "action": "access_as_shared"}
            await self._send(
                "POST", "rbac-policies", {"rbac_policy": {**said, "target_tenant": MEMBER_PROJECT}}
            )


async def _tokens(store: Store) -> None:
    await add_token(store, ADMIN_TOKEN, ADMIN_PROJECT, is_admin=True)
    await add_token(store, MEMBER_TOKEN, MEMBER_PROJECT, is_admin=False)


async def _prepare(client: httpx.AsyncClient) -> str:
    """An external network, and two inner ones with a small subnet each. Returns: the id of the external one."""

    async def made(member: str, **said: Any) -> Json:
        headers = {"X-Auth-Token": ADMIN_TOKEN}
        answer = await client.post(f"/v2.0/{member}s", json={member: said}, headers=headers)
        assert answer.status_code == 201, answer.text
        found: Json = answer.json()[member]
        return found

    outside = await made("network", **{"router:external": True})
    await made("subnet", network_id=outside["id"], cidr="203.0.113.0/27", ip_version=4)
    for _ in range(2):
        await made("subnet", network_id=(await made("network"))["id"], cidr="10.0.0.0/27", ip_version=4)
    return str(outside["id"])


async def _storm(clients: Sequence[httpx.AsyncClient], calls_each: int) -> list[Client]:
    """Clients at once, until each has made its calls."""
    outside = await _prepare(clients[0])
    found = [Client(clients[seed % len(clients)], outside, seed) for seed in range(CLIENTS)]
    await asyncio.gather(*(client.run(calls_each) for client in found))
    return found


async def _is_sound(store: Store, clients: Sequence[Client]) -> None:
    assert [one for client in clients for one in client.broken] == []
    assert await audit(store) == []
    assert sum(client.statuses.get(201, 0) for client in clients) > 50
    assert sum(client.statuses.get(204, 0) for client in clients) > 10


async def test_many_clients_leave_a_sound_region(open_store: OpenStore, tmp_path: Path) -> None:
    """Clients that create, change and delete the same networks, ports, groups, routers and floating IPs at once are
    served or refused, never broken; afterwards nothing is given twice, left behind, miscounted or lost."""
    async with open_store(tmp_path) as store:
        await _tokens(store)
        async with serving(store) as api:
            await _is_sound(store, await _storm([api.client], CALLS_EACH))


@pytest.mark.long
async def test_many_clients_for_long(open_store: OpenStore, tmp_path: Path) -> None:
    """The same with many times as many calls."""
    async with open_store(tmp_path) as store:
        await _tokens(store)
        async with serving(store) as api:
            await _is_sound(store, await _storm([api.client], CALLS_EACH_LONG))


@pytest.mark.long
async def test_many_clients_of_four_processes(tmp_path: Path) -> None:
    """The same when the clients are served by four API processes that share nothing but a database."""
    postgres = server()
    region = Apart(tmp_path, postgres.dsn(await postgres.fresh()))
    try:
        for name in ("api-1", "api-2", "api-3", "api-4"):
            await asyncio.to_thread(region.add, name, "api")
        async with AsyncExitStack() as stack:
            store = await PostgresStore.open(region.dsn)
            stack.push_async_callback(store.close)
            await _tokens(store)
            clients = [
                await stack.enter_async_context(
                    httpx.AsyncClient(base_url=process.facts["endpoint"], timeout=60)
                )
                for process in region.processes.values()
            ]
            await _is_sound(store, await _storm(clients, CALLS_EACH_LONG))
    finally:
        await asyncio.to_thread(region.ledger.sweep)


async def test_a_region_with_everything_is_sound(open_store: OpenStore, tmp_path: Path) -> None:
    """What managers make of every kind of row is what the audit expects."""
    async with open_store(tmp_path, seed=1) as store:
        await _tokens(store)
        async with serving(store) as api:
            await build_world(api)

        assert await audit(store) == []


def _same_mac(tx: Transaction, port: Port, _subnet: Subnet, _group: SecurityGroup) -> None:
    tx.insert(replace(port, id=tx.new_id(), fixed_ips=()))


def _same_address(tx: Transaction, port: Port, _subnet: Subnet, _group: SecurityGroup) -> None:
    tx.insert(replace(port, id=tx.new_id(), mac_address="0a:00:00:00:00:99"))


def _no_address(tx: Transaction, port: Port, _subnet: Subnet, _group: SecurityGroup) -> None:
    tx.update(replace(port, fixed_ips=()))


def _overlapping(tx: Transaction, _port: Port, subnet: Subnet, _group: SecurityGroup) -> None:
    tx.insert(replace(subnet, id=tx.new_id(), cidr="10.0.0.16/28", gateway_ip=None))


def _two_defaults(tx: Transaction, _port: Port, _subnet: Subnet, group: SecurityGroup) -> None:
    tx.insert(replace(group, id=tx.new_id()))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_same_mac, "is given more than once"),
        (_same_address, "is given more than once"),
        (_no_address, "1 claims in address:"),
        (_overlapping, "overlap"),
        (_two_defaults, "2 default groups"),
    ],
)
async def test_the_audit_finds_damage(
    open_store: OpenStore,
    tmp_path: Path,
    damage: Callable[[Transaction, Port, Subnet, SecurityGroup], None],
    words: str,
) -> None:
    """Rows that no manager would write are found, and named."""
    async with open_store(tmp_path, seed=1) as store:
        await _tokens(store)
        async with serving(store) as api:
            network = await api.a_network()
            subnet = await api.a_subnet(network["id"], "10.0.0.0/27", gateway_ip=None)
            port = await api.a_port(network["id"])

        async def work(tx: Transaction) -> None:
            group = await tx.get(SecurityGroup, port["security_groups"][0])
            damage(tx, await tx.get(Port, port["id"]), await tx.get(Subnet, subnet["id"]), group)

        await store.write(work)

        assert [finding for finding in await audit(store) if words in finding]
