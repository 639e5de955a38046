"""What surrounds every request: ids, logs, failures of ours, concurrency of clients."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.registry import managers
from alcor.model.errors import QuotaExceeded
from alcor.store.interface import Store, Transaction
from tests.support.api import ADMIN_PROJECT, ADMIN_TOKEN, Api, add_token, error_of, serving
from tests.support.store import Faults, sqlite_store

REQUEST_ID = re.compile(r"req-[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
GLOBAL_ID = "req-11111111-2222-3333-4444-555555555555"


def _vpc() -> Manager:
    """The manager of networks."""
    return next(one for one in managers() if isinstance(one, Manager) and one.resource.name == "network")


@pytest.mark.parametrize(
    "path", ["/", "/v2.0/networks", "/v2.0/networks/x", "/nowhere", "/docs", "/docs/start.js"]
)
async def test_every_answer_has_a_request_id_of_its_own(api: Api, path: str) -> None:
    """Each answer, right or wrong, carries a fresh request id."""
    ids = [(await api.get(path)).headers["x-openstack-request-id"] for _ in range(2)]

    assert all(REQUEST_ID.fullmatch(id) for id in ids)
    assert ids[0] != ids[1]


async def test_one_event_per_answer_with_the_callers_id(api: Api) -> None:
    """One request makes one event, with its id, its cost, and the id of the request it is a part of."""
    with capture_logs() as events:
        answer = await api.get("/v2.0/networks/x", headers={"X-OpenStack-Request-ID": GLOBAL_ID})

    (event,) = events
    assert event.pop("elapsed_ms") >= 0
    assert event.pop("request_id") == answer.headers["x-openstack-request-id"] != GLOBAL_ID
    assert event == {
        "area": "api",
        "event": "request_answered",
        "log_level": "info",
        "method": "GET",
        "path": "/v2.0/networks/x",
        "status": 404,
        "error": "NetworkNotFound",
        "project_id": ADMIN_PROJECT,
        "global_request_id": GLOBAL_ID,
    }


@pytest.mark.parametrize("id", ["req-1", "x\u2028y", GLOBAL_ID + "x", "req-" + "g" * 36])
async def test_a_global_id_that_is_none_is_not_logged(api: Api, id: str) -> None:
    """What a client sends as an id is repeated in the log only if it is one."""
    with capture_logs() as events:
        await api.get("/v2.0/networks", headers={"X-OpenStack-Request-ID": id.encode()})

    assert "global_request_id" not in events[0]


async def test_a_long_path_is_logged_in_part(api: Api) -> None:
    """An event has at most 512 characters of a path, however long it was."""
    with capture_logs() as events:
        await api.get("/" + "x" * 10_000)

    assert events[0]["path"] == "/" + "x" * 511


async def test_no_secret_is_logged(api: Api) -> None:
    """Neither the caller's token, nor a host's, nor what a body holds, reaches the log."""
    with capture_logs() as events:
        host = await api.made("host", name="host-1", vtep_addresses=["192.0.2.1"], description="private")

    assert ADMIN_TOKEN not in str(events)
    assert host["token"] not in str(events)
    assert "private" not in str(events)


async def test_a_bug_is_a_500_without_a_trace(store: Store) -> None:
    """An error nobody expected is answered with an id and no detail; the log has both."""

    async def broken(_tx: Transaction, _caller: Caller, _many: Sequence[Values]) -> list[Made]:
        raise RuntimeError("the secret of the machine")

    vpc = replace(_vpc(), create=broken)
    async with serving(store, served=[vpc]) as api:
        with capture_logs() as events:
            answer = await api.post("/v2.0/networks", {"network": {}})

        status, name, message = error_of(answer)
        assert (status, name) == (500, "HTTPInternalServerError")
        assert answer.headers["x-openstack-request-id"] in message
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text
        assert [event["event"] for event in events] == ["request_broken", "request_answered"]
        assert events[0]["exc_info"]
        assert events[0]["request_id"] in message
        assert (await api.get("/v2.0/networks")).status_code == 200


async def test_a_store_that_cannot_commit_is_a_503_with_retry_after(tmp_path: Path) -> None:
    """If nothing could be kept the client is told to try again, and nothing is there."""
    faults = Faults({})
    async with sqlite_store(tmp_path / "faulty", faults=faults) as store:
        await add_token(store, ADMIN_TOKEN, ADMIN_PROJECT, is_admin=True)
        async with serving(store) as api:
            await api.get("/v2.0/networks")
            faults.refuse["COMMIT"] = 1
            with capture_logs() as events:
                answer = await api.post("/v2.0/networks", {"network": {}})

            status, name, message = error_of(answer)
            assert (status, name) == (503, "ServiceUnavailable")
            assert str(tmp_path) not in message
            failed = next(event for event in events if event["event"] == "request_failed")
            assert failed["reason"] not in message
            assert int(answer.headers["retry-after"]) >= 1
            assert await api.shown("/v2.0/networks") == []
            assert (await api.post("/v2.0/networks", {"network": {}})).status_code == 201


async def test_a_used_up_quota_is_a_409(store: Store) -> None:
    """A manager that finds the quota used up gives the client OverQuota."""

    async def full(_tx: Transaction, _caller: Caller, _many: Sequence[Values]) -> list[Made]:
        raise QuotaExceeded("network", 10)

    async with serving(store, served=[replace(_vpc(), create=full)]) as api:
        answer = await api.post("/v2.0/networks", {"network": {}})

        assert error_of(answer) == (
            409,
            "OverQuota",
            "Quota exceeded for resources: ['network'] (limit 10).",
        )


async def test_a_verb_without_a_function_is_not_served(store: Store) -> None:
    """A manager without `delete` has no DELETE: 405, and the document does not have it."""
    async with serving(store, served=[replace(_vpc(), delete=None)]) as api:
        network = await api.a_network()

        assert (await api.delete(f"/v2.0/networks/{network['id']}")).status_code == 405
        assert "delete" not in api.document["paths"]["/v2.0/networks/{id}"]


async def test_a_missing_loader_is_found_at_start(store: Store) -> None:
    """A computed attribute nobody computes fails when the process starts, not when it is asked for."""
    with pytest.raises(ValueError, match="network: computed attribute 'subnets' has no loader"):
        async with serving(store, served=[replace(_vpc(), computed={})]):
            pass


async def test_computed_attributes_are_loaded_once_and_only_if_asked_for(store: Store) -> None:
    """A loader runs once per answer, whatever the number of rows, and not at all if `fields` leaves it out."""
    calls: list[int] = []
    vpc = _vpc()
    load = vpc.computed["subnets"]

    async def counting(store: Store, caller: Caller, rows: Sequence[object]) -> dict[str, object]:
        calls.append(len(rows))
        return await load(store, caller, rows)

    async with serving(store, served=[replace(vpc, computed={**vpc.computed, "subnets": counting})]) as api:
        await api.post("/v2.0/networks", {"networks": [{}, {}, {}]})
        calls.clear()
        await api.get("/v2.0/networks")
        assert calls == [3]
        await api.get("/v2.0/networks?fields=id&fields=name")
        assert calls == [3]
        await api.get("/v2.0/networks?fields=subnets")
        assert calls == [3, 3]
