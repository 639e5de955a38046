"""Health of a process, and what a process without the API serves to operators' machines: `/healthz` and `/metrics`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from alcor import __version__
from alcor.model.errors import AlcorError
from alcor.store.interface import Store
from alcor.telemetry.metrics import REGISTRY

# A health check is asked every few seconds by machines that take silence for death after a few more.
_CHECK_S = 0.9


class Health:
    """What keeps a process from serving; implements `api.needs.Ready`."""

    def __init__(self) -> None:
        self._checks: dict[str, Callable[[], Awaitable[str]]] = {}
        self._texts: dict[str, Callable[[], str]] = {}

    def tell(self, part: str, text: Callable[[], str]) -> None:
        """Have `text` say what a part does, for people."""
        self._texts[part] = text

    def parts(self) -> dict[str, str]:
        """Part → what it does, of those that say it."""
        return {part: text() for part, text in self._texts.items()}

    def watch(self, part: str, trouble: Callable[[], str]) -> None:
        """Have `trouble` say what is wrong with a part: empty, nothing."""

        async def check() -> str:
            return trouble()

        self._checks[part] = check

    def watch_store(self, store: Store) -> None:
        """Have the store's head read."""

        async def check() -> str:
            try:
                async with asyncio.timeout(_CHECK_S):
                    await store.head()
            except AlcorError as error:
                return error.message
            except TimeoutError:
                return f"The database did not answer within {_CHECK_S:g} s."
            return ""

        self._checks["store"] = check

    async def __call__(self) -> Mapping[str, str]:
        """Part → reason, for each part that does not serve."""
        found = {part: await check() for part, check in self._checks.items()}
        return {part: reason for part, reason in found.items() if reason}


class OperationsApp:
    """An ASGI application of two paths. Needs no token, and tells nothing of a project."""

    def __init__(self, health: Health) -> None:
        self._health = health

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        status, kind, body = await self._answer(scope["method"], scope["path"])
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, method: str, path: str) -> tuple[int, str, bytes]:
        if method not in ("GET", "HEAD"):
            return 405, "text/plain", b"only GET\n"
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(REGISTRY)
        if path == "/healthz":
            missing = dict(await self._health())
            status = "unavailable" if missing else "ok"
            body = {
                "status": status,
                "version": __version__,
                "missing": missing,
                "parts": self._health.parts(),
            }
            return 503 if missing else 200, "application/json", orjson.dumps(body)
        return 404, "text/plain", b"here are /healthz and /metrics\n"
