"""What a process without the API serves to operators' machines."""

import asyncio
from typing import cast

import httpx
import pytest

from alcor import __version__
from alcor.model.change import Position
from alcor.model.errors import Unavailable
from alcor.runtime.operations import Health, OperationsApp
from alcor.store.interface import Store


async def asked(health: Health, path: str, method: str = "GET") -> httpx.Response:
    transport = httpx.ASGITransport(app=OperationsApp(health))
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        return await client.request(method, path)


async def test_health_names_what_is_missing() -> None:
    """200 while every part serves; 503 with part and reason as soon as one does not."""
    trouble = [""]
    health = Health()
    health.watch("bus", lambda: trouble[0])
    health.watch("dataplane", lambda: "")
    health.tell("dataplane", lambda: "holds 32 of 64 shards")
    parts = {"dataplane": "holds 32 of 64 shards"}

    well = await asked(health, "/healthz")
    trouble[0] = "the dataplane cannot be reached"
    ill = await asked(health, "/healthz")

    assert (well.status_code, well.json()) == (
        200,
        {"status": "ok", "version": __version__, "missing": {}, "parts": parts},
    )
    assert (ill.status_code, ill.json()["missing"]) == (503, {"bus": "the dataplane cannot be reached"})


class Heads:
    """A store of which only the head is asked: what it says is what the test wants."""

    def __init__(self, answer: Exception | None, *, silent: bool = False) -> None:
        self._answer, self._silent = answer, silent

    async def head(self) -> Position:
        """As the store."""
        if self._silent:
            await asyncio.Event().wait()
        if self._answer is not None:
            raise self._answer
        return Position(1, 1)


@pytest.mark.parametrize(
    ("store", "reason"),
    [
        (Heads(None), None),
        (Heads(Unavailable("The database is away.")), "The database is away."),
        (Heads(None, silent=True), "did not answer within"),
    ],
)
async def test_the_database_is_asked(store: Heads, reason: str | None) -> None:
    """A database that refuses or keeps silent is missing, and the answer comes within a second."""
    health = Health()
    health.watch_store(cast(Store, store))

    async with asyncio.timeout(60):
        missing = await health()

    assert list(missing) == ([] if reason is None else ["store"])
    assert (reason or "") in missing.get("store", "")


async def test_metrics_and_nothing_else() -> None:
    """/metrics is there without a token; other paths and methods are not."""
    health = Health()

    metrics = await asked(health, "/metrics")
    head = await asked(health, "/healthz", "HEAD")

    assert (metrics.status_code, "alcor_revision" in metrics.text) == (200, True)
    assert (head.status_code, head.content) == (200, b"")
    assert (await asked(health, "/v2.0/networks")).status_code == 404
    assert (await asked(health, "/metrics", "POST")).status_code == 405
