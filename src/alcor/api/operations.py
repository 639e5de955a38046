"""What operators' machines ask: `/healthz` and `/metrics`. Neither needs a token nor tells anything of a project."""

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from alcor.api.call import Call, Endpoint
from alcor.api.needs import Ready
from alcor.api.view import encode
from alcor.telemetry.metrics import REGISTRY


class Operations:
    """Health and metrics of this process."""

    def __init__(self, version: str, ready: Ready) -> None:
        self._version = version
        self._ready = ready

    def endpoints(self) -> dict[str, Endpoint]:
        """Path template → endpoint."""
        return {
            "/healthz": Endpoint("healthz", {"GET": self.health}, is_open=True),
            "/metrics": Endpoint("metrics", {"GET": self.metrics}, is_open=True),
        }

    async def health(self, call: Call) -> Response:
        """200 if this process serves, else 503 and why not."""
        missing = dict(await self._ready())
        status = "unavailable" if missing else "ok"
        body = {"status": status, "version": self._version, "missing": missing}
        return Response(encode(body), 503 if missing else 200, media_type="application/json")

    async def metrics(self, call: Call) -> Response:
        """The process's metrics in the text format of Prometheus."""
        return Response(generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})
