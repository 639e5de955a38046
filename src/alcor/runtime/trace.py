"""Traces of a process: by the dataplane it runs, if that one leads, else by the one that does."""

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from alcor.bus.goal_server import GoalServer
from alcor.bus.interface import DataplaneBus
from alcor.dataplane.service import Dataplane
from alcor.goalstate.graph import Graph
from alcor.model.errors import Unavailable
from alcor.runtime.bus import consult_dataplane
from alcor.runtime.config import RegionConfig
from alcor.runtime.database import is_shared
from alcor.trace.question import TraceQuestion
from alcor.trace.service import Tracer


class ProcessTracer:
    """Implements the Tracer of `managers.trace`. `lead` says that this process has the present dataplane."""

    def __init__(self, config: RegionConfig) -> None:
        self._config = config
        self._dataplane: Dataplane | None = None
        self._bus: DataplaneBus | None = None
        self._tracer = Tracer(self._graph, self._ask)

    def lead(self, dataplane: Dataplane, bus: DataplaneBus) -> None:
        """From here on this dataplane's graph is asked, and agents by its bus."""
        self._dataplane, self._bus = dataplane, bus
        if isinstance(bus, GoalServer):
            bus.consultant = self._consulted

    async def trace(self, packet: Mapping[str, Any], *, actual: bool) -> dict[str, Any]:
        """As `managers.trace`."""
        if self._leads or not is_shared(self._config):
            question = msgspec.convert(dict(packet), TraceQuestion)
            return (await self._tracer.trace(question, actual=actual)).as_json()
        body = orjson.dumps({"trace": dict(packet), "actual": actual})
        answer: dict[str, Any] = orjson.loads(await consult_dataplane(self._config, body))
        return answer

    @property
    def _leads(self) -> bool:
        """Whether the dataplane of this process still is the one that others attach to."""
        bus = self._bus
        return bus is not None and (not isinstance(bus, GoalServer) or bus.is_listening)

    async def _consulted(self, body: bytes) -> bytes:
        """Another process of the region asks."""
        said = orjson.loads(body)
        question = msgspec.convert(said["trace"], TraceQuestion)
        return orjson.dumps((await self._tracer.trace(question, actual=said["actual"])).as_json())

    def _graph(self) -> Graph | None:
        return self._dataplane.graph if self._dataplane is not None else None

    async def _ask(self, host_id: str, body: bytes, within_s: float) -> bytes:
        if self._bus is None:
            raise Unavailable("this process of the region does not speak to hosts")
        return await self._bus.ask(host_id, body, within_s)
