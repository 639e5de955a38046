"""How many statements a call sends to the database: few, and as many however many rows there are."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from alcor.model.catalogue import RESOURCES
from alcor.store.interface import Store, Transaction
from alcor.store.sqlite import SqliteStore
from alcor.telemetry.metrics import STATEMENTS
from tests.support.api import (
    ADMIN_PROJECT,
    ADMIN_TOKEN,
    MEMBER_PROJECT,
    MEMBER_TOKEN,
    Api,
    add_token,
    serving,
)
from tests.support.store import ADAPTERS, OpenStore
from tests.support.world import build_world

Json = dict[str, Any]

# At most so many statements for one call: those that only read, and on SQLite and on PostgreSQL those inside of its
# transaction. The bounds are what there is; whoever needs one statement more should know that everybody pays it.
CALLS: dict[str, tuple[int, int, int]] = {
    "show a port": (2, 0, 0),
    "list 100 ports": (2, 0, 0),
    "list ports of a device": (2, 0, 0),
    "list ids of ports of a device": (1, 0, 0),
    "create a port": (0, 10, 9),
    "create 100 ports": (0, 10, 9),
    "update a port": (1, 15, 4),
    "delete a port": (0, 23, 16),
    "create a network": (0, 9, 6),
    "show a network": (3, 0, 0),
    "create a subnet": (2, 7, 5),
    "create a rule": (1, 12, 5),
    "create a floating IP": (3, 16, 10),
    # Nova's seventeen requests, and the deletion of the port it made.
    "boot a server": (37, 51, 30),
}
# PostgreSQL deals a project's counts out anew now and then (`store.postgres.tally`), with so many statements.
_DEALING = 4
_COPIES = 12


class Sent:
    """Counts statements from now on."""

    def __init__(self) -> None:
        self._before = self._now()

    def since(self) -> tuple[int, int]:
        """How many were sent: (only to read, in transactions)."""
        return self._now()[0] - self._before[0], self._now()[1] - self._before[1]

    @staticmethod
    def _now() -> tuple[int, int]:
        # Of this metric alone: a whole registry has tens of thousands of samples by the end of a run.
        samples = [one for family in STATEMENTS.collect() for one in family.samples]

        def total(purpose: str) -> int:
            return int(
                sum(
                    one.value
                    for one in samples
                    if one.name.endswith("_total") and one.labels["purpose"] == purpose
                )
            )

        return total("read"), total("write")


@pytest.fixture(params=ADAPTERS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """A store of each kind that knows an administrator and a member."""
    open_store: OpenStore = request.param
    async with open_store(tmp_path, seed=1) as opened:
        await add_token(opened, ADMIN_TOKEN, ADMIN_PROJECT, is_admin=True)
        await add_token(opened, MEMBER_TOKEN, MEMBER_PROJECT, is_admin=False)
        yield opened


async def _made(api: Api, path: str, body: Json) -> Any:
    answer = await api.post(path, body)
    assert answer.status_code == 201, answer.text
    return next(iter(answer.json().values()))


class Calls:
    """The calls of `CALLS`, on a network of their own."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.ids: dict[str, str] = {}

    async def prepare(self) -> None:
        """What they need. Each is made once before it counts, so that what is only needed at first is there."""
        outside = await self.api.a_network(**{"router:external": True})
        await self.api.a_subnet(outside["id"], "203.0.113.0/24")
        inside = await self.api.a_network()
        await self.api.a_subnet(inside["id"], "10.0.0.0/16")
        group = await self.api.made("security_group", name="web")
        await self.api.made("host", name="h1", vtep_addresses=["192.0.2.1"])
        port = await self.api.a_port(inside["id"])
        self.ids = {
            "outside": outside["id"],
            "inside": inside["id"],
            "group": group["id"],
            "port": port["id"],
        }
        for name in CALLS:
            await self.run(name)

    async def run(self, name: str) -> None:
        """One call, which must succeed."""
        api, ids = self.api, self.ids
        port = {"network_id": ids["inside"]}
        match name:
            case "show a port":
                await api.shown(f"/v2.0/ports/{ids['port']}")
            case "list 100 ports":
                await api.shown("/v2.0/ports?limit=100")
            case "list ports of a device":
                await api.shown("/v2.0/ports?device_id=&limit=10")
            case "list ids of ports of a device":
                await api.shown("/v2.0/ports?device_id=server-1&fields=id")
            case "create a port":
                ids["last"] = (await _made(api, "/v2.0/ports", {"port": port}))["id"]
            case "create 100 ports":
                await _made(api, "/v2.0/ports", {"ports": [port] * 100})
            case "update a port":
                renamed = {
                    "port": {"name": f"{ids['last']} of {len(ids)}", "description": ids.get("name", "")}
                }
                ids["name"] = "again"
                assert (await api.put(f"/v2.0/ports/{ids['last']}", renamed)).status_code == 200
            case "delete a port":
                assert (await api.delete(f"/v2.0/ports/{ids['last']}")).status_code == 204
            case "create a network":
                await api.a_network()
            case "show a network":
                await api.shown(f"/v2.0/networks/{ids['inside']}")
            case "create a subnet":
                ids["subnets"] = str(int(ids.get("subnets", "0")) + 1)
                await api.a_subnet(ids["inside"], f"10.{ids['subnets']}.0.0/16")
            case "create a rule":
                ids["ports"] = str(int(ids.get("ports", "0")) + 1)
                rule = {"security_group_id": ids["group"], "direction": "ingress", "protocol": "tcp"}
                numbers = {"port_range_min": ids["ports"], "port_range_max": ids["ports"]}
                await api.made("security_group_rule", **rule, **numbers)
            case "create a floating IP":
                await api.made("floatingip", floating_network_id=ids["outside"])
            case "boot a server":
                await self._boot()

    async def _boot(self) -> None:
        """What Nova asks to boot a server, in its order (Nova 33.0.2)."""
        api, network = self.api, self.ids["inside"]
        details = (
            f"networks/{network}?fields=segments",
            f"networks/{network}?fields=provider:physical_network&fields=provider:network_type",
        )
        first = (
            f"networks?id={network}",
            f"quotas/{ADMIN_PROJECT}",
            f"ports?tenant_id={ADMIN_PROJECT}&fields=id",
            *details,
            "ports?device_id=server-1",
            f"networks?id={network}",
        )
        for path in first:
            await api.shown(f"/v2.0/{path}")
        said = {
            "device_id": "server-1",
            "network_id": network,
            "admin_state_up": True,
            "tenant_id": ADMIN_PROJECT,
        }
        port = await _made(api, "/v2.0/ports", {"port": said})
        bound = {"device_id": "server-1", "device_owner": "compute:nova", "binding:host_id": "h1"}
        assert (await api.put(f"/v2.0/ports/{port['id']}", {"port": bound})).status_code == 200
        [fixed] = port["fixed_ips"]
        then = (
            f"ports?tenant_id={ADMIN_PROJECT}&device_id=server-1",
            f"networks?id={network}",
            f"floatingips?fixed_ip_address={fixed['ip_address']}&port_id={port['id']}",
            f"subnets?id={fixed['subnet_id']}",
            f"ports?network_id={network}&device_owner=network:dhcp",
            *details,
            "ports?device_id=server-1",
            f"security-groups?id={port['security_groups'][0]}&fields=id&fields=name",
        )
        for path in then:
            await api.shown(f"/v2.0/{path}")
        assert (await api.delete(f"/v2.0/ports/{port['id']}")).status_code == 204


async def test_common_calls_send_few_statements(store: Store) -> None:
    """What clients ask for most takes few statements, and as many for a hundred ports as for one."""
    async with serving(store) as api:
        calls = Calls(api)
        await calls.prepare()
        found = {}
        for name in CALLS:
            sent = Sent()
            await calls.run(name)
            found[name] = sent.since()

    embedded = isinstance(store, SqliteStore)
    bounds = {
        name: (reads, here if embedded or not there else there + _DEALING)
        for name, (reads, here, there) in CALLS.items()
    }
    assert {
        name: (found[name], bounds[name])
        for name in CALLS
        if any(sent > most for sent, most in zip(found[name], bounds[name], strict=True))
    } == {}


async def test_no_list_reads_row_by_row(store: Store) -> None:
    """Every list takes as many statements for many rows as for few, whoever asks."""
    async with serving(store) as api:
        await build_world(api)
        paths = [path for path, item in api.document["paths"].items() if _is_list(item)]
        lists = [path for path in paths if "{" not in path]
        before = {path: await _sent_by(api, path) for path in lists}
        await _copy(store)
        after = {path: await _sent_by(api, path) for path in lists}

    assert len(lists) > 40
    assert {path: (before[path], after[path]) for path in lists if before[path] != after[path]} == {}


def _is_list(item: Json) -> bool:
    return str(item.get("get", {}).get("operationId", "")).startswith("list")


async def _sent_by(api: Api, path: str) -> list[int]:
    """For an administrator and for a member: the reads of one list."""
    found = []
    for token in (ADMIN_TOKEN, MEMBER_TOKEN):
        for _ in range(2):
            # What a project has from its first look on is made by the first.
            sent = Sent()
            answer = await api.client.get(path, headers={"X-Auth-Token": token})
            assert answer.status_code in (200, 403), answer.text
        found.append(sent.since()[0])
    return found


async def _copy(store: Store) -> None:
    """Copies of every row there is, each whole: rows of a copy refer to rows of the same copy."""
    image = await store.image([resource.entity for resource in RESOURCES])
    rows = [(resource.entity, row) for resource in RESOURCES for row in image.rows.get(resource.entity, ())]

    async def work(tx: Transaction) -> None:
        for _ in range(_COPIES):
            names = {row.id: tx.new_id() for _, row in rows}
            for entity, row in rows:
                if entity.__name__ == "Token":
                    continue
                text = msgspec.json.encode(row).decode()
                for old, new in names.items():
                    text = text.replace(old, new)
                tx.insert(replace(msgspec.json.decode(text, type=entity), revision_number=0))

    await store.write(work)
