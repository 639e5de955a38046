"""Paths that are no collection: quotas, actions on the region, the original system's own endpoints."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from alcor.api.call import Call, Endpoint, Handler
from alcor.api.collection import Surroundings, as_json
from alcor.managers.interface import Ask, Route, Service, Upload
from alcor.model.errors import Forbidden


class Routes:
    """The endpoints of one `Service`."""

    def __init__(self, service: Service, around: Surroundings) -> None:
        self.service = service
        self._around = around

    def endpoints(self) -> dict[str, Endpoint]:
        """Path template → endpoint."""
        found: dict[str, dict[str, Handler]] = {}
        # A path's methods are open all or none: a token is asked for before the method is known.
        is_open: dict[str, bool] = {}
        for route in self.service.routes:
            found.setdefault(route.path, {})[route.method] = self._handler(route)
            is_open[route.path] = is_open.get(route.path, True) and route.is_open
        return {path: Endpoint(_label(path), handlers, is_open[path]) for path, handlers in found.items()}

    def _handler(self, route: Route) -> Handler:
        words = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
        rule = self._around.policy.rule(route.rule)

        async def handle(call: Call) -> Response:
            names: Mapping[str, str] = dict(zip(words, call.names, strict=True))
            target = {"project_id": names.get("project_id", call.caller.project_id)}
            if not rule.allows(call.caller, target):
                raise Forbidden(
                    f"rule:{route.rule} is disallowed by policy: the token's roles and project do not allow it. "
                    "Use a token with the right role, or ask an administrator."
                )
            body: Any = await _body(call, route) if call.has_body else None
            ask = Ask(call.caller, names, body, call.pairs(), self._around.hidden(call.caller))
            answer = await route.answer(self._around.store, ask)
            return Response(status_code=204) if answer is None else as_json(answer, status=route.status)

        return handle


async def _body(call: Call, route: Route) -> Any:
    kind = call.kind
    if kind in route.kinds:
        return Upload(kind, await call.raw(route.kinds))
    return await call.json()


def _label(path: str) -> str:
    """The path without what is named: a closed set of words for metrics."""
    parts = [part for part in path.split("/") if part and not part.startswith("{")]
    return "/".join(parts[1:] if parts and parts[0] == "v2.0" else parts)
