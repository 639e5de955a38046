"""`/epoch`: what hosts hold back after a restore, and what an operator can do about it."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from alcor.agent.hold import Hold
from alcor.agent.orphan import Orphan
from alcor.managers.registry import managers
from alcor.model.epoch_release import CALM_ID, HELD, RELEASE_ID, EpochRelease
from alcor.model.errors import Unavailable
from alcor.store.interface import HostObservation, PortObservation, Store, Transaction
from tests.support.api import MEMBER_TOKEN, Api, Json, serving


class FakeHosts:
    """Agents that hold what a test says, and answer as real ones do. Those in `away` do not answer."""

    def __init__(self) -> None:
        self.holds: dict[str, Hold] = {}
        self.away: set[str] = set()

    async def ask(self, host_id: str, question: Mapping[str, Any]) -> dict[str, Any]:
        """What the host holds."""
        assert question == {"ask": "held"}
        if host_id in self.away:
            raise Unavailable("the agent did not answer")
        return dict(await self.holds[host_id].tell(question))


@pytest.fixture
def hosts() -> FakeHosts:
    return FakeHosts()


@pytest.fixture
async def api(store: Store, hosts: FakeHosts) -> AsyncIterator[Api]:
    async with serving(store, served=managers(hosts=hosts)) as opened:
        yield opened


async def _a_host(api: Api, store: Store, name: str, **seen: Any) -> Json:
    """A host of which this was seen."""
    host = await api.made("host", name=name, vtep_addresses=[f"192.0.2.{10 + len(name)}"])
    await store.observations.put([], [HostObservation(host["id"], **({"seen_at_ms": 1} | seen))], term=0)
    return host


async def _holding(api: Api, store: Store, hosts: FakeHosts, *orphans: Orphan, name: str = "h1") -> Json:
    """A host whose agent holds these ports."""
    host = await api.made("host", name=name, vtep_addresses=[f"192.0.2.{len(hosts.holds) + 1}"])
    hold = hosts.holds[host["id"]] = Hold(epoch_is_new=True)
    hold.orphans = {one.port_id: one.network_id for one in orphans}
    hold.known.facts = {one.port_id: one for one in orphans if one.mac_address}
    detail = f"another thing; {hold.sentence}"
    assert HELD in detail
    await store.observations.put(
        [], [HostObservation(host["id"], alive=True, seen_at_ms=1, detail=detail)], term=0
    )
    return host


async def _lost(api: Api) -> tuple[Json, Orphan]:
    """A port that was deleted from the database's point of view, as its host remembers it."""
    network = await api.a_network()
    await api.a_subnet(network["id"])
    port = await api.a_port(network["id"], name="vm-1", device_id="an-instance")
    await api.request("DELETE", f"/v2.0/ports/{port['id']}")
    return port, Orphan(
        port_id=port["id"],
        network_id=network["id"],
        name="vm-1",
        mac_address=port["mac_address"],
        ip_addresses=tuple(one["ip_address"] for one in port["fixed_ips"]),
        project_id=port["project_id"],
        device_id="an-instance",
        security_groups=(*port["security_groups"], "00000000-0000-4000-8000-00000000dead"),
    )


async def test_nothing_is_held(api: Api, store: Store) -> None:
    """A region that was never restored."""
    epoch = (await api.get("/epoch")).json()["epoch"]

    assert epoch["epoch"] == (await store.head()).epoch
    assert (epoch["holding"], epoch["orphans"], epoch["silent"], epoch["released"]) == ([], [], [], False)


async def test_a_living_port_is_imported_again(api: Api, store: Store, hosts: FakeHosts) -> None:
    """It comes back as it was, where it lives; again is no error, and nothing is made twice."""
    port, orphan = await _lost(api)
    host = await _holding(api, store, hosts, orphan)
    shown = (await api.get("/epoch")).json()["epoch"]
    assert [(one["port_id"], one["host"]) for one in shown["orphans"]] == [(port["id"], "h1")]
    reason = "the region began a new epoch; ports that it does not know live here: 1"
    assert shown["holding"] == [{"host": "h1", "reason": reason}]

    states = [
        (await api.request("POST", "/epoch/recover", json={"ports": ports})).json()["ports"][0]["state"]
        for ports in ([port["id"]], "all")
    ]
    # Its host holds nothing any more; by its ID it is known all the same.
    hosts.holds.clear()
    await store.observations.forget([], [host["id"]], term=0)
    states.append(
        (await api.request("POST", "/epoch/recover", json={"ports": [port["id"]]})).json()["ports"][0][
            "state"
        ]
    )

    assert states == ["imported", "known", "known"]
    found = (await api.get(f"/v2.0/ports/{port['id']}")).json()["port"]
    same = ("mac_address", "fixed_ips", "name", "project_id", "device_id", "security_groups", "network_id")
    assert {name: found[name] for name in same} == {name: port[name] for name in same}
    assert found["binding:host_id"] == "h1"


async def test_who_holds_and_who_is_waited_for(api: Api, store: Store, hosts: FakeHosts) -> None:
    """Of a host without unknown ports it is said that it holds for others; of silent ones, that they may have
    some. Of those that are settled, only planned, or not waited for any more, nothing is said."""
    epoch = (await store.head()).epoch
    host = await _holding(api, store, hosts)
    await _holding(api, store, hosts, name="h2")
    hosts.holds[host["id"]].settled = epoch
    await _a_host(api, store, "away", alive=False)
    await _a_host(api, store, "broken", alive=True, detail="the switch is gone")
    await _a_host(api, store, "settled", alive=False, settled=epoch)
    await _a_host(api, store, "planned-only", alive=False, seen_at_ms=0)

    shown = (await api.get("/epoch")).json()["epoch"]

    assert {one["host"]: one["reason"].partition("; ")[2] for one in shown["holding"]} == {
        "h1": "all ports here are known, others are waited for",
        "h2": "it has not taken in yet all that the region says",
    }
    reasons = {one["host"]: one["reason"] for one in shown["silent"]}
    assert reasons.keys() == {"away", "broken"}
    assert "`dataplane.epoch_wait_s`" in reasons["away"]
    assert "not taken in" in reasons["broken"]

    await store.write(lambda tx: _insert(tx, EpochRelease(id=CALM_ID, epoch=epoch, number=1)))
    assert (await api.get("/epoch")).json()["epoch"]["silent"] == []


async def test_hosts_of_which_nothing_is_known(api: Api, store: Store) -> None:
    """Who was settled in an earlier epoch and says nothing of this one may hold something, also while no agent is heard
    at all: "nothing is held" would be a guess. In a region's first epoch nothing can be."""
    epoch = (await store.head()).epoch
    await _a_host(api, store, "never-well", alive=True, settled=0)
    assert (await api.get("/epoch")).json()["epoch"]["silent"] == []

    await _a_host(api, store, "away", alive=False, settled=epoch - 1)
    await _a_host(api, store, "later", alive=True, settled=epoch - 1)

    silent = (await api.get("/epoch")).json()["epoch"]["silent"]
    assert {"away", "later"} <= {one["host"] for one in silent}
    answer = (await api.request("POST", "/epoch/recover", json={"ports": "all"})).json()
    assert (answer["ports"], answer["silent"]) == ([], silent)

    await store.write(lambda tx: _insert(tx, EpochRelease(id=RELEASE_ID, epoch=epoch, number=1)))
    assert (await api.get("/epoch")).json()["epoch"]["silent"] == []


async def _moved(api: Api, store: Store, hosts: FakeHosts) -> tuple[Json, Json]:
    """(port, the host to which it is bound): it lives on h1, and the region's database has it on `before`."""
    port, orphan = await _lost(api)
    before = await _a_host(api, store, "before", alive=True, settled=1)
    await _holding(api, store, hosts, orphan)
    await api.request("POST", "/epoch/recover", json={"ports": "all"})
    bound = {"binding:host_id": "before"}
    await api.request("PUT", f"/v2.0/ports/{port['id']}", json={"port": bound})
    return port, before


async def test_a_port_that_moved_since_the_backup(api: Api, store: Store, hosts: FakeHosts) -> None:
    """It is bound where it lives, though that host takes nothing new; else the hold would last for ever."""
    port, _ = await _moved(api, store, hosts)
    (host,) = (await api.get("/hosts?name=h1")).json()["hosts"]
    await api.request("PUT", f"/hosts/{host['id']}/drain")

    (one,) = (await api.request("POST", "/epoch/recover", json={"ports": "all"})).json()["ports"]

    assert (one["state"], one["reason"]) == ("imported", "it was bound to host before, and lives on host h1")
    found = (await api.get(f"/v2.0/ports/{port['id']}")).json()["port"]
    assert (found["binding:host_id"], found["binding:vif_type"]) == ("h1", "ovs")
    (again,) = (await api.request("POST", "/epoch/recover", json={"ports": "all"})).json()["ports"]
    assert again["state"] == "known"


async def test_a_port_that_is_plugged_on_two_hosts(api: Api, store: Store, hosts: FakeHosts) -> None:
    """Where its machine runs nobody knows: an operator says it. What a host said that is not heard does not count."""
    port, before = await _moved(api, store, hosts)
    seen = PortObservation(port["id"], before["id"], "ACTIVE", plugged=True)
    await store.observations.put([seen], [], term=0)

    (one,) = (await api.request("POST", "/epoch/recover", json={"ports": "all"})).json()["ports"]

    assert one["state"] == "failed"
    assert "plugged on host h1, and on host before" in one["reason"]
    await store.observations.put([], [HostObservation(before["id"], alive=False, seen_at_ms=1)], term=0)
    (one,) = (await api.request("POST", "/epoch/recover", json={"ports": "all"})).json()["ports"]
    assert one["state"] == "imported"


async def _insert(tx: Transaction, row: EpochRelease) -> None:
    tx.insert(row)


async def test_a_port_that_lives_on_a_draining_host_stays_there(
    api: Api, store: Store, hosts: FakeHosts
) -> None:
    """Such a host takes no new port; but this one is there, and to say that it is not would take its flows."""
    port, orphan = await _lost(api)
    host = await _holding(api, store, hosts, orphan)
    assert (await api.request("PUT", f"/hosts/{host['id']}/drain")).status_code == 200
    new = await api.a_port(port["network_id"], **{"binding:host_id": "h1"})
    assert new["binding:vif_type"] == "binding_failed"

    answer = (await api.request("POST", "/epoch/recover", json={"ports": "all"})).json()

    assert [one["state"] for one in answer["ports"]] == ["imported"]
    found = (await api.get(f"/v2.0/ports/{port['id']}")).json()["port"]
    assert (found["binding:host_id"], found["binding:vif_type"]) == ("h1", "ovs")


async def test_a_port_whose_network_is_gone_says_what_to_do(api: Api, store: Store, hosts: FakeHosts) -> None:
    """The reason names the network, the host, and what the new port is to have; what it says can be done."""
    port, orphan = await _lost(api)
    await api.request("DELETE", f"/v2.0/networks/{port['network_id']}")
    await _holding(api, store, hosts, orphan)

    (one,) = (await api.request("POST", "/epoch/recover", json={"ports": "all"})).json()["ports"]

    assert one["state"] == "failed"
    for said in (
        f"network {port['network_id']} is gone",
        port["mac_address"],
        *orphan.ip_addresses,
        "host h1",
    ):
        assert said in one["reason"]
    network = await api.a_network()
    await api.a_subnet(network["id"])
    again = await api.a_port(
        network["id"],
        mac_address=orphan.mac_address,
        fixed_ips=[{"ip_address": ip} for ip in orphan.ip_addresses],
        **{"binding:host_id": "h1"},
    )
    assert again["binding:vif_type"] == "ovs"


async def test_what_cannot_be_imported_says_why(api: Api, store: Store, hosts: FakeHosts) -> None:
    """One port's trouble is not the others'; each reason is told."""
    port, orphan = await _lost(api)
    other = await api.a_port(port["network_id"], fixed_ips=[{"ip_address": orphan.ip_addresses[0]}])
    forgotten = Orphan(port_id="00000000-0000-4000-8000-000000000001")
    await _holding(api, store, hosts, orphan, forgotten)
    away = await _holding(api, store, hosts, name="h2")
    hosts.away.add(away["id"])
    nobody = "00000000-0000-4000-8000-000000000002"

    body = {"ports": [port["id"], forgotten.port_id, nobody]}
    answer = (await api.request("POST", "/epoch/recover", json=body)).json()

    found = {one["port_id"]: one for one in answer["ports"]}
    assert found[port["id"]]["state"] == "failed"
    assert orphan.ip_addresses[0] in found[port["id"]]["reason"]
    assert f"port {other['id']}: delete or change that" in found[port["id"]]["reason"]
    assert "does not remember" in found[forgotten.port_id]["reason"]
    assert found[nobody]["state"] == "unknown"
    assert "h2" in found[nobody]["reason"]


async def test_a_release_is_a_row(api: Api, store: Store) -> None:
    """It is of the present epoch, counts up, and goes through the change log."""
    before = await store.head()
    for number in (1, 2):
        done = (await api.request("POST", "/epoch/release")).json()["release"]
        assert done == {"epoch": before.epoch, "number": number}

    row = await store.reader.find(EpochRelease, RELEASE_ID)
    assert row is not None
    assert (row.epoch, row.number) == (before.epoch, 2)
    assert (await store.head()).revision > before.revision
    assert (await api.get("/epoch")).json()["epoch"]["released"] is True


async def test_an_epoch_begins(api: Api, store: Store) -> None:
    """An operator begins a new epoch; a release of the last one says nothing of it."""
    await api.request("POST", "/epoch/release")
    before = await store.head()

    answer = await api.request("POST", "/epoch")

    assert answer.status_code == 201
    assert answer.json()["epoch"]["epoch"] == (await store.head()).epoch > before.epoch
    assert (await api.get("/epoch")).json()["epoch"]["released"] is False


@pytest.mark.parametrize(
    "body", [{}, {"ports": "some"}, {"ports": ["not-an-id"]}, {"ports": [], "x": 1}, [1]]
)
async def test_a_wrong_body(api: Api, body: Any) -> None:
    """It is refused with a sentence."""
    answer = await api.request("POST", "/epoch/recover", json=body)

    assert answer.status_code == 400
    assert "ports" in answer.text


async def test_only_for_administrators(store: Store, hosts: FakeHosts) -> None:
    """A project neither sees nor changes what hosts hold."""
    async with serving(store, served=managers(hosts=hosts), token=MEMBER_TOKEN) as tenant:
        answers = [
            await tenant.get("/epoch"),
            await tenant.request("POST", "/epoch"),
            await tenant.request("POST", "/epoch/release"),
            await tenant.request("POST", "/epoch/recover", json={"ports": "all"}),
        ]

    assert {answer.status_code for answer in answers} <= {403, 404}
