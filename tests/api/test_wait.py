"""`?wait=` on writes, `data_plane` of objects: what is asked of the data plane, and how its answers are shown."""

from collections.abc import AsyncIterator, Sequence

import pytest

from alcor.goalstate.intent import KIND_OF
from alcor.model.errors import Unavailable
from alcor.model.realized import REACHING, MissingHost, Realized
from alcor.store.interface import Store
from tests.support.api import MEMBER_TOKEN, Api, error_of, serving

STAGES = {"follow": 1.0, "compile": 2.0, "publish": 3.0, "receive": 4.0, "install": 5.0, "ack": 6.0}
MISSING = (MissingHost("compute-2", "down"), MissingHost("compute-3", "behind by 4"))


class FakeDataPlane:
    """Remembers what it was asked; two of four hosts have everything, unless it is told otherwise."""

    def __init__(self) -> None:
        self.waits: list[tuple[int, float]] = []
        self.wanted: list[tuple[Sequence[int] | None, list[tuple[str, str]]]] = []
        self.asked: list[tuple[str, list[str]]] = []
        self.missing: tuple[MissingHost, ...] = MISSING
        self.error = ""

    async def wait(
        self,
        revision: int,
        within_s: float,
        *,
        revisions: Sequence[int] | None = None,
        rows: Sequence[tuple[str, str]] = (),
    ) -> Realized:
        """As `DataPlane`."""
        self.wanted.append((revisions, list(rows)))
        self.waits.append((revision, within_s))
        if self.error:
            raise Unavailable(self.error)
        return self._realized(revision)

    async def standing(self, kind: str, ids: Sequence[str]) -> list[Realized]:
        """As `DataPlane`."""
        self.asked.append((kind, list(ids)))
        return [self._realized(7) for _ in ids]

    def _realized(self, revision: int) -> Realized:
        lacking = len(self.missing)
        return Realized(
            revision=revision,
            hosts_intended=4,
            hosts_actual=4 - lacking,
            missing=self.missing,
            stages_ms=STAGES,
        )


@pytest.fixture
def plane() -> FakeDataPlane:
    return FakeDataPlane()


@pytest.fixture
async def admin(store: Store, plane: FakeDataPlane) -> AsyncIterator[Api]:
    async with serving(store, data_plane=plane) as opened:
        yield opened


@pytest.fixture
async def tenant(store: Store, plane: FakeDataPlane) -> AsyncIterator[Api]:
    async with serving(store, data_plane=plane, token=MEMBER_TOKEN) as opened:
        yield opened


async def test_a_write_says_its_revision_and_waits_for_nobody(admin: Api, plane: FakeDataPlane) -> None:
    """Who does not ask is not kept waiting."""
    answer = await admin.post("/v2.0/networks", {"network": {"name": "red"}})

    assert int(answer.headers["x-alcor-revision"]) > 0
    assert "x-alcor-realized" not in answer.headers
    assert plane.waits == []


async def test_a_write_that_waits_tells_of_hosts_in_headers(admin: Api, plane: FakeDataPlane) -> None:
    """Status and body are as without; hosts are counted, those missing named, and every stage has its time."""
    answer = await admin.request("POST", "/v2.0/networks?wait=7.5", json={"network": {"name": "red"}})

    revision = int(answer.headers["x-alcor-revision"])
    assert answer.status_code == 201
    assert list(answer.json()) == ["network"]
    assert plane.waits == [(revision, 7.5)]
    assert answer.headers["x-alcor-wait"] == "incomplete"
    assert answer.headers["x-alcor-realized"] == "2/4"
    assert answer.headers["x-alcor-missing"] == "compute-2 (down), compute-3 (behind by 4)"
    stages = [part.split(";dur=") for part in answer.headers["server-timing"].split(", ")]
    assert [stage for stage, _ in stages] == ["commit", *STAGES, "total"]
    assert {stage: float(ms) for stage, ms in stages}.items() >= STAGES.items()


async def test_details_are_told_in_the_body_too(admin: Api) -> None:
    """As one member beside those that are always there."""
    answer = await admin.request(
        "POST", "/v2.0/networks?wait=1&details=true", json={"network": {"name": "red"}}
    )

    told = answer.json()["data_plane"]
    stages = told.pop("stages_ms")
    assert told == {
        "revision": int(answer.headers["x-alcor-revision"]),
        "hosts_intended": 4,
        "hosts_actual": 2,
        "missing": [
            {"host": "compute-2", "reason": "down"},
            {"host": "compute-3", "reason": "behind by 4"},
        ],
    }
    assert list(stages) == ["commit", *STAGES, "total"]
    assert answer.json()["network"]["name"] == "red"


async def test_complete_is_said(admin: Api, plane: FakeDataPlane) -> None:
    """Nothing is missing, so nothing is named."""
    plane.missing = ()

    answer = await admin.request("POST", "/v2.0/networks?wait", json={"network": {}})

    assert answer.headers["x-alcor-wait"] == "complete"
    assert answer.headers["x-alcor-realized"] == "4/4"
    assert "x-alcor-missing" not in answer.headers
    assert plane.waits[0][1] == 5.0


@pytest.mark.parametrize("text", ["5", "0", "60", "2.5"])
async def test_the_header_is_another_way_to_ask(admin: Api, plane: FakeDataPlane, text: str) -> None:
    """For clients that cannot say more in a path."""
    answer = await admin.request(
        "POST", "/v2.0/networks", json={"network": {}}, headers={"X-Alcor-Wait": text}
    )

    assert answer.status_code == 201
    assert [seconds for _, seconds in plane.waits] == [float(text)]


@pytest.mark.parametrize("text", ["61", "-1", "soon", "5s", "1_0", "nan", "٣"])
async def test_a_time_that_makes_no_sense_is_refused_and_nothing_is_written(admin: Api, text: str) -> None:
    """Before anything else is done."""
    answer = await admin.request("POST", "/v2.0/networks", json={"network": {}}, params={"wait": text})

    assert error_of(answer)[0] == 400
    assert error_of(answer)[2] == (
        f"wait={text} is not a time to wait for hosts: say seconds from 0 to 60, such as ?wait=5."
    )
    assert (await admin.get("/v2.0/networks")).json() == {"networks": []}


async def test_details_are_true_or_false(admin: Api) -> None:
    """Anything else is refused."""
    answer = await admin.request("POST", "/v2.0/networks?wait=1&details=maybe", json={"network": {}})

    assert error_of(answer)[::2] == (400, "details=maybe is neither true nor false.")


async def test_every_kind_of_write_waits(admin: Api, plane: FakeDataPlane) -> None:
    """Create, bulk, partial bulk, change, action, tags, delete: each for its own revision."""
    network = await admin.a_network()
    await admin.a_subnet(network["id"])
    router = await admin.made("router")
    subnet = await admin.a_subnet(network["id"], "10.0.1.0/24")
    one = f"/v2.0/networks/{network['id']}"
    writes = [
        ("POST", "/v2.0/networks", {"networks": [{"name": "a"}, {"name": "b"}]}, 201),
        ("POST", "/v2.0/networks?partial=true", {"networks": [{"name": "c"}, {"name": "d"}]}, 207),
        ("PUT", one, {"network": {"name": "e"}}, 200),
        ("PUT", f"/v2.0/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]}, 200),
        ("PUT", f"{one}/tags/red", None, 201),
        ("DELETE", f"/v2.0/routers/{router['id']}/tags", None, 204),
        ("PUT", "/v2.0/quotas/" + "c" * 32, {"quota": {"network": 5}}, 200),
        ("POST", "/v2.0/networks", {"network": {"name": "last"}}, 201),
    ]

    revisions = []
    for method, path, body, status in writes:
        joined = f"{path}{'&' if '?' in path else '?'}wait=2&details=true"
        more = {} if body is None else {"json": body}
        answer = await admin.request(method, joined, **more)
        assert (answer.status_code, answer.headers.get("x-alcor-realized")) == (status, "2/4"), (
            path,
            answer.text,
        )
        revisions.append(int(answer.headers["x-alcor-revision"]))
        if answer.content:
            assert answer.json()["data_plane"]["revision"] == revisions[-1]
    answer = await admin.delete(f"/v2.0/networks/{(await admin.a_network())['id']}?wait=2&details=true")

    assert (answer.status_code, answer.content, answer.headers["x-alcor-realized"]) == (204, b"", "2/4")
    assert revisions == sorted(revisions)
    assert [revision for revision, _ in plane.waits][:-1] == revisions


async def test_every_part_of_a_partial_bulk_is_waited_for(admin: Api, plane: FakeDataPlane) -> None:
    """Each item is a transaction of its own: the hosts of all of them count, and not only those of the last."""
    body = {"networks": [{"name": "a"}, {"name": "b"}]}

    answer = await admin.request("POST", "/v2.0/networks?partial=true&wait=2", json=body)

    last = int(answer.headers["x-alcor-revision"])
    assert answer.status_code == 207
    assert plane.wanted == [([last - 1, last], [])]


async def test_a_write_that_changes_nothing_is_told_of_its_row(admin: Api, plane: FakeDataPlane) -> None:
    """Whoever says the same again, because the hosts did not have it in time, is not told of another change's hosts."""
    network = await admin.a_network()
    await admin.a_network(name="another")
    said = {"network": {"name": network["name"]}}

    answer = await admin.request("PUT", f"/v2.0/networks/{network['id']}?wait=2", json=said)

    assert answer.json()["network"]["revision_number"] == network["revision_number"]
    assert plane.wanted == [([], [("network", network["id"])])]


async def test_a_refused_write_waits_for_nothing(admin: Api, plane: FakeDataPlane) -> None:
    """Nothing was written, so there is nothing to wait for."""
    answer = await admin.request("POST", "/v2.0/networks?wait=5", json={"network": {"mtu": "x"}})

    assert answer.status_code == 400
    assert plane.waits == []


async def test_a_write_is_not_undone_by_a_dataplane_that_is_away(admin: Api, plane: FakeDataPlane) -> None:
    """It is committed; only what became of it is not known."""
    plane.error = "the dataplane at unix:x did not answer:\n gone"

    answer = await admin.request("POST", "/v2.0/networks?wait=5&details=1", json={"network": {"name": "red"}})

    assert answer.status_code == 201
    assert answer.headers["x-alcor-wait"] == "unknown: the dataplane at unix:x did not answer:  gone"
    assert "x-alcor-realized" not in answer.headers
    assert answer.json()["data_plane"]["reason"] == plane.error


async def test_a_process_without_a_data_plane_says_so(store: Store) -> None:
    """Waiting is no error there either; asking for an object's hosts is."""
    async with serving(store, data_plane=None) as api:
        answer = await api.request("POST", "/v2.0/networks?wait=5", json={"network": {}})
        shown = await api.get(f"/v2.0/networks/{answer.json()['network']['id']}/data-plane")

    assert answer.headers["x-alcor-wait"] == "unknown: this process of the region cannot ask a dataplane"
    assert error_of(shown)[:2] == (503, "ServiceUnavailable")


async def test_names_of_hosts_are_for_those_who_may_know_them(tenant: Api) -> None:
    """A tenant learns how many, not which."""
    answer = await tenant.request("POST", "/v2.0/networks?wait=5&details=true", json={"network": {}})
    shown = await tenant.get(f"/v2.0/networks/{answer.json()['network']['id']}/data-plane")

    assert answer.headers["x-alcor-realized"] == "2/4"
    assert "x-alcor-missing" not in answer.headers
    assert "missing" not in answer.json()["data_plane"]
    assert shown.json() == {"data_plane": {"revision": 7, "hosts_intended": 4, "hosts_actual": 2}}


async def test_why_nothing_is_known_is_for_those_who_may_know_hosts(
    tenant: Api, plane: FakeDataPlane
) -> None:
    """The reason names parts of the region."""
    plane.error = "the dataplane at 192.0.2.7:9698 did not answer"

    answer = await tenant.request("POST", "/v2.0/networks?wait=5&details=1", json={"network": {}})

    assert answer.headers["x-alcor-wait"] == "unknown: the region cannot tell now"
    assert answer.json()["data_plane"]["reason"] == "the region cannot tell now"


async def test_a_read_does_not_wait(admin: Api, plane: FakeDataPlane) -> None:
    """The header means nothing on a GET."""
    answer = await admin.get("/v2.0/networks", headers={"X-Alcor-Wait": "5"})

    assert answer.status_code == 200
    assert plane.waits == []


async def test_an_object_shows_its_hosts(admin: Api, plane: FakeDataPlane) -> None:
    """At a path of its own, with those that are missing and why."""
    network = await admin.a_network()

    answer = await admin.get(f"/v2.0/networks/{network['id']}/data-plane")

    assert answer.json() == {
        "data_plane": {
            "revision": 7,
            "hosts_intended": 4,
            "hosts_actual": 2,
            "missing": [
                {"host": "compute-2", "reason": "down"},
                {"host": "compute-3", "reason": "behind by 4"},
            ],
        }
    }
    assert plane.asked == [("network", [network["id"]])]


async def test_a_part_of_an_object_shows_its_hosts(admin: Api, plane: FakeDataPlane) -> None:
    """A QoS policy's rule is asked of as a row of its own."""
    policy = await admin.made("qos_policy", name="slow")
    path = f"/v2.0/qos/policies/{policy['id']}/bandwidth_limit_rules"
    rule = (await admin.post(path, {"bandwidth_limit_rule": {"max_kbps": 100}})).json()[
        "bandwidth_limit_rule"
    ]

    answer = await admin.get(f"{path}/{rule['id']}/data-plane")

    assert answer.status_code == 200
    assert plane.asked == [("qos_bandwidth_limit_rule", [rule["id"]])]


async def test_another_projects_object_is_not_there(admin: Api, tenant: Api, plane: FakeDataPlane) -> None:
    """Its hosts are no way to find it."""
    network = await admin.a_network()

    answer = await tenant.get(f"/v2.0/networks/{network['id']}/data-plane")

    assert answer.status_code == 404
    assert plane.asked == []


async def test_counts_are_shown_where_fields_name_them(admin: Api, plane: FakeDataPlane) -> None:
    """In a list in one question, and never unless asked for."""
    ids = [(await admin.a_network(name=name))["id"] for name in ("a", "b")]
    counts = {"revision": 7, "hosts_intended": 4, "hosts_actual": 2}

    listed = await admin.get("/v2.0/networks?fields=name&fields=data_plane&sort_key=name")
    shown = await admin.get(f"/v2.0/networks/{ids[0]}?fields=data_plane")
    plain = await admin.get("/v2.0/networks")

    assert listed.json() == {
        "networks": [{"name": "a", "data_plane": counts}, {"name": "b", "data_plane": counts}]
    }
    assert shown.json() == {"network": {"data_plane": counts}}
    assert all("data_plane" not in network for network in plain.json()["networks"])
    assert plane.asked == [("network", ids), ("network", [ids[0]])]


async def test_what_no_host_knows_of_has_no_hosts(admin: Api, plane: FakeDataPlane) -> None:
    """An address scope is of the region alone: the path is not there, and the field is passed over."""
    scope = await admin.made("address_scope", name="x", ip_version=4)
    path = f"/v2.0/address-scopes/{scope['id']}"

    assert (await admin.get(f"{path}/data-plane")).status_code == 404
    assert (await admin.get(f"{path}?fields=data_plane")).json() == {"address_scope": {}}
    assert plane.asked == []


def test_the_kinds_that_reach_hosts_are_those_the_goal_state_is_made_from() -> None:
    """Two lists, because the edge does not know the goal state."""
    assert set(KIND_OF) == REACHING


async def test_no_request_is_described_with_what_only_answers_tell(admin: Api) -> None:
    """Tags are sent and answered alike: `data_plane` is of the answer alone."""
    document = admin.document
    tags = document["paths"]["/v2.0/networks/{id}/tags"]["put"]
    sent = tags["requestBody"]["content"]["application/json"]["schema"]
    answered = tags["responses"]["200"]["content"]["application/json"]["schema"]

    assert (sent["properties"].keys(), answered["properties"].keys()) == ({"tags"}, {"tags", "data_plane"})
    for path, item in document["paths"].items():
        for verb in ("post", "put", "delete"):
            for content in item.get(verb, {}).get("requestBody", {}).get("content", {}).values():
                assert "data_plane" not in content.get("schema", {}).get("properties", {}), path
