"""`POST /v2.0/traces`: what it takes, what it refuses, and how much of the answer is whose."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from alcor.managers.registry import managers
from alcor.managers.trace.service import RECEIVERS, RECEIVERS_CAUSES
from alcor.pipeline.tables import Table
from alcor.store.interface import Store
from alcor.trace.cause import Cause
from tests.support.api import MEMBER_TOKEN, Api, Json, error_of, serving

PATH = "/v2.0/traces"


class FakeTracer:
    """Remembers what it was asked, and answers what it was given."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, Any], bool]] = []
        self.port_id: str | None = None

    async def trace(self, packet: Mapping[str, Any], *, actual: bool) -> dict[str, Any]:
        """An answer that names hosts and the receiver's rule."""
        self.asked.append((dict(packet), actual))
        hops = [
            {"host_id": "h1", "host": "one", "table": "CLASSIFY", "text": "enters", "decided_by": "p"},
            {"host_id": "h2", "host": "two", "table": "INGRESS_CT", "text": "is judged", "decided_by": "q"},
        ]
        return {
            "verdict": "dropped",
            "cause": "ingress_group",
            "text": "No rule allows it.",
            "decided_by": "a-rule",
            "port_id": self.port_id,
            "hops": hops,
            "reply": None,
            "actual": [],
            "agrees": None,
        }


@pytest.fixture
def tracer() -> FakeTracer:
    return FakeTracer()


@pytest.fixture
async def admin(store: Store, tracer: FakeTracer) -> AsyncIterator[Api]:
    async with serving(store, served=managers(tracer=tracer)) as opened:
        yield opened


@pytest.fixture
async def tenant(store: Store, tracer: FakeTracer) -> AsyncIterator[Api]:
    async with serving(store, served=managers(tracer=tracer), token=MEMBER_TOKEN) as opened:
        yield opened


async def _a_port(api: Api) -> Json:
    network = await api.a_network()
    await api.a_subnet(network["id"])
    return await api.a_port(network["id"])


async def test_a_question_is_passed_on(admin: Api, tracer: FakeTracer) -> None:
    """Names become numbers, and what is not said is left to the defaults."""
    port = await _a_port(admin)
    said = {"port_id": port["id"], "destination_ip": "10.0.0.9", "protocol": "tcp", "destination_port": 22}

    answer = await admin.post(PATH, {"trace": said | {"actual": True}})

    assert answer.status_code == 200
    assert answer.json()["trace"]["decided_by"] == "a-rule"
    assert tracer.asked == [
        (
            {
                "port_id": port["id"],
                "destination_ip": "10.0.0.9",
                "protocol": 6,
                "destination_port": 22,
            },
            True,
        )
    ]


async def test_to_a_port(admin: Api, tracer: FakeTracer) -> None:
    """A destination may be a port: its first address is meant; ICMP is that of the address's version."""
    port = await _a_port(admin)

    await admin.post(PATH, {"trace": {"port_id": port["id"], "destination_port_id": port["id"]}})

    asked, _ = tracer.asked[0]
    assert asked["destination_ip"] == port["fixed_ips"][0]["ip_address"]
    assert asked["protocol"] == 1


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"destination_ip": "10.0.0.1"}, "Name one source"),
        ({"port_id": "PORT"}, "destination_ip or destination_port_id"),
        ({"port_id": "PORT", "destination_ip": "nowhere"}, "destination_ip"),
        ({"port_id": "PORT", "destination_ip": "10.0.0.1", "protocol": "carrier-pigeon"}, "carrier-pigeon"),
        ({"port_id": "PORT", "destination_ip": "10.0.0.1", "destination_port": 70000}, "0 to 65535"),
        ({"port_id": "PORT", "destination_ip": "10.0.0.1", "colour": "red"}, "colour"),
        ({"port_id": "PORT", "destination_ip": "10.0.0.1", "actual": "yes"}, "true or false"),
    ],
)
async def test_what_makes_no_sense(admin: Api, said: Json, words: str) -> None:
    """A question that makes no sense is a 400 that says what is wrong."""
    port = await _a_port(admin)
    question = {key: port["id"] if value == "PORT" else value for key, value in said.items()}

    status, _, message = error_of(await admin.post(PATH, {"trace": question}))

    assert status == 400
    assert words in message


async def test_a_strangers_port(admin: Api, tenant: Api) -> None:
    """A project traces from its own ports only; a stranger's are not found."""
    port = await _a_port(admin)

    answer = await tenant.post(PATH, {"trace": {"port_id": port["id"], "destination_ip": "10.0.0.1"}})

    assert error_of(answer)[0] == 404


async def test_what_a_project_sees(tenant: Api, admin: Api, tracer: FakeTracer) -> None:
    """A project learns verdict and cause; no hosts, and nothing of another project's port."""
    port, stranger = await _a_port(tenant), await _a_port(admin)
    tracer.port_id = stranger["id"]

    answer = await tenant.post(PATH, {"trace": {"port_id": port["id"], "destination_ip": "10.0.0.1"}})

    trace = answer.json()["trace"]
    assert (trace["verdict"], trace["cause"]) == ("dropped", "ingress_group")
    assert (trace["decided_by"], trace["port_id"]) == ("", None)
    assert [(hop["table"], hop["host"]) for hop in trace["hops"]] == [("CLASSIFY", "")]


async def test_only_administrators_ask_the_switches(tenant: Api) -> None:
    """Flows of a host are the operator's to see."""
    port = await _a_port(tenant)
    said = {"port_id": port["id"], "destination_ip": "10.0.0.1", "actual": True}

    assert error_of(await tenant.post(PATH, {"trace": said}))[0] == 403


async def test_a_process_without_goal_state(api: Api) -> None:
    """A process that cannot trace says so."""
    port = await _a_port(api)

    answer = await api.post(PATH, {"trace": {"port_id": port["id"], "destination_ip": "10.0.0.1"}})

    assert error_of(answer)[0] == 503


def test_the_receivers_part() -> None:
    """What is hidden from strangers is named by tables and causes that exist."""
    assert {Table[name] for name in RECEIVERS} >= {Table.INGRESS_RULES, Table.OUTPUT}
    assert {Cause(name) for name in RECEIVERS_CAUSES} >= {Cause.INGRESS_GROUP}
