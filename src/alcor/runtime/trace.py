"""What a process asks of hosts: traces, of any dataplane (each has the whole graph); and who has what, of the one that
hears of hosts, to which the others pass the question on.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import orjson

from alcor.bus.consult import ANSWER_S
from alcor.bus.goal_server import GoalServer
from alcor.bus.interface import DataplaneBus
from alcor.dataplane.service import Dataplane
from alcor.goalstate.graph import Graph
from alcor.model.errors import Unavailable
from alcor.model.realized import Realized
from alcor.runtime.bus import Living, consult_at, consult_dataplane
from alcor.runtime.config import RegionConfig
from alcor.runtime.database import is_shared
from alcor.trace.question import TraceQuestion
from alcor.trace.service import Tracer

# What an answer may take longer than the wait it was asked for.
WAIT_MARGIN_S = 2.0
ASK_S = 5.0
# A take-over takes some seconds.
AGAIN_S = 0.2


class ProcessTracer:
    """Implements the Tracer of `managers.trace`, the Hosts of `managers.epoch` and the DataPlane of `api.needs`.

    `lead` says that this process has a dataplane. realizer: the address of another one that hears of hosts.
    living: where dataplanes are, for a process that has none.
    """

    def __init__(self, config: RegionConfig, living: Living) -> None:
        self._config, self.living = config, living
        self._dataplane: Dataplane | None = None
        self._bus: DataplaneBus | None = None
        self._tracer = Tracer(self._graph, self._ask)
        self.realizer: Callable[[], str] = lambda: ""

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
        answer: dict[str, Any] = orjson.loads(await consult_dataplane(self._config, body, living=self.living))
        return answer

    async def wait(
        self,
        revision: int,
        within_s: float,
        *,
        revisions: Sequence[int] | None = None,
        rows: Sequence[tuple[str, str]] = (),
    ) -> Realized:
        """As `DataPlane`; while another dataplane takes over, as long as there is time, it is asked again."""
        wanted: dict[str, Any] = {"revision": revision}
        if revisions is not None:
            wanted["revisions"] = list(revisions)
        if rows:
            wanted["rows"] = [list(row) for row in rows]
        deadline = time.monotonic() + within_s
        while True:
            left_s = max(0.0, deadline - time.monotonic())
            said = {"wait": {**wanted, "within_s": left_s}}
            try:
                return msgspec.json.decode(await self._told(said, left_s + WAIT_MARGIN_S), type=Realized)
            except Unavailable:
                if time.monotonic() + AGAIN_S >= deadline:
                    raise
            await asyncio.sleep(AGAIN_S)

    async def standing(self, kind: str, ids: Sequence[str]) -> list[Realized]:
        """As `DataPlane`."""
        said = {"standing": {"kind": kind, "ids": list(ids)}}
        return msgspec.json.decode(await self._told(said, ANSWER_S), type=list[Realized])

    async def _told(self, said: Mapping[str, Any], within_s: float) -> bytes:
        """The answer of the dataplane that hears of hosts. Raises: Unavailable."""
        dataplane = self._dataplane
        if dataplane is None and is_shared(self._config):
            body = orjson.dumps(said)
            return await consult_dataplane(self._config, body, living=self.living, within_s=within_s)
        if dataplane is None:
            raise Unavailable("this process of the region has no dataplane")
        if dataplane.realizes or not is_shared(self._config):
            barriers = dataplane.barriers
            if "wait" in said:
                return msgspec.json.encode(await barriers.wait(**said["wait"]))
            asked = said["standing"]
            return msgspec.json.encode([barriers.standing(asked["kind"], id) for id in asked["ids"]])
        address = self.realizer()
        if not address or "passed_on" in said:
            raise Unavailable("another dataplane is about to hear of hosts; try again in a moment")
        body = orjson.dumps({**said, "passed_on": True})
        return await consult_at(self._config, address, body, own="dataplane", within_s=within_s)

    async def ask(self, host_id: str, question: Mapping[str, Any]) -> dict[str, Any]:
        """As the Hosts of `managers.epoch`."""
        if self._leads or not is_shared(self._config):
            return await self._ask_host(host_id, question)
        body = orjson.dumps({"host": host_id, "question": dict(question)})
        answer: dict[str, Any] = orjson.loads(await consult_dataplane(self._config, body, living=self.living))
        return answer

    async def _ask_host(self, host_id: str, question: Mapping[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = orjson.loads(await self._ask(host_id, orjson.dumps(dict(question)), ASK_S))
        return answer

    @property
    def _leads(self) -> bool:
        """Whether the dataplane of this process still is the one that others attach to."""
        bus = self._bus
        return bus is not None and (not isinstance(bus, GoalServer) or bus.is_listening)

    async def _consulted(self, body: bytes) -> bytes:
        """Another process of the region asks."""
        said = orjson.loads(body)
        if "host" in said:
            return orjson.dumps(await self._ask_host(said["host"], said["question"]))
        if "trace" not in said:
            return await self._told(said, said.get("wait", {}).get("within_s", ANSWER_S) + WAIT_MARGIN_S)
        question = msgspec.convert(said["trace"], TraceQuestion)
        return orjson.dumps((await self._tracer.trace(question, actual=said["actual"])).as_json())

    def _graph(self) -> Graph | None:
        return self._dataplane.graph if self._dataplane is not None else None

    async def _ask(self, host_id: str, body: bytes, within_s: float) -> bytes:
        if self._bus is None:
            raise Unavailable("this process of the region does not speak to hosts")
        return await self._bus.ask(host_id, body, within_s)
