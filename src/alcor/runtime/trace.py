"""Traces of a process: by the dataplane it runs, if it runs one and that one leads."""

from collections.abc import Mapping
from typing import Any

import msgspec

from alcor.bus.interface import DataplaneBus
from alcor.dataplane.service import Dataplane
from alcor.goalstate.graph import Graph
from alcor.model.errors import Unavailable
from alcor.trace.question import TraceQuestion
from alcor.trace.service import Tracer


class ProcessTracer:
    """Implements the Tracer of `managers.trace`. `lead` says which dataplane is the present one."""

    def __init__(self) -> None:
        self._dataplane: Dataplane | None = None
        self._bus: DataplaneBus | None = None
        self._tracer = Tracer(self._graph, self._ask)

    def lead(self, dataplane: Dataplane, bus: DataplaneBus) -> None:
        """From here on this dataplane's graph is asked, and agents by its bus."""
        self._dataplane, self._bus = dataplane, bus

    async def trace(self, packet: Mapping[str, Any], *, actual: bool) -> dict[str, Any]:
        """As `managers.trace`."""
        question = msgspec.convert(dict(packet), TraceQuestion)
        return (await self._tracer.trace(question, actual=actual)).as_json()

    def _graph(self) -> Graph | None:
        return self._dataplane.graph if self._dataplane is not None else None

    async def _ask(self, host_id: str, body: bytes, within_s: float) -> bytes:
        if self._bus is None:
            raise Unavailable("this process of the region does not speak to hosts")
        return await self._bus.ask(host_id, body, within_s)
