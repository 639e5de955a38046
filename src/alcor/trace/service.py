"""Traces for whoever asks: through intent, and with `actual` through the switches of the hosts on the way."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import msgspec
import orjson

from alcor.goalstate.graph import Graph
from alcor.model.errors import AlcorError, Unavailable
from alcor.trace.host import exit_of
from alcor.trace.question import Exit, Look, Trace, TraceQuestion
from alcor.trace.region import GraphRegion
from alcor.trace.walk import Visit, Walk

AskHost = Callable[[str, bytes, float], Awaitable[bytes]]
"""Asks a host's agent: host id, question, seconds. Raises: Unavailable."""

ANSWER_S = 5.0


class Tracer:
    """Answers questions with the graph as it is at that moment.

    graph: the present one; None while the region loads. ask: see `AskHost`.
    """

    def __init__(self, graph: Callable[[], Graph | None], ask: AskHost) -> None:
        self._graph, self._ask = graph, ask

    async def trace(self, question: TraceQuestion, *, actual: bool = False) -> Trace:
        """Where the packet goes. `actual`: have the switches say it too.

        Raises: NotFound, InvalidInput, Unavailable (the region is still loading).
        """
        graph = self._graph()
        if graph is None:
            raise Unavailable("the region is still loading its goal state; try again in a moment")
        walk = Walk(GraphRegion(graph), question)
        trace = walk.run()
        if not actual:
            return trace
        there = [(visit, False) for visit in walk.way.visits]
        back = [(visit, True) for visit in (walk.back.visits if walk.back is not None else ())]
        looks = await asyncio.gather(*(self._look(visit, is_reply=reply) for visit, reply in there + back))
        return msgspec.structs.replace(trace, actual=tuple(looks), agrees=_agree(looks))

    async def _look(self, visit: Visit, *, is_reply: bool) -> Look:
        """One host's switch, beside what it should do."""
        end = visit.end
        wanted = tuple(sorted(exit_of(out) for out in visit.outs))
        question = {
            "ask": "trace",
            "frame": visit.frame.hex(),
            "is_reply": is_reply,
            "end": {
                "place": end.place.value,
                "to": end.to,
                "network_type": end.network_type,
                "tun_id": end.tun_id,
            },
        }
        try:
            said = orjson.loads(await self._ask(visit.host.id, orjson.dumps(question), ANSWER_S))
        except AlcorError as error:
            return Look(
                host_id=visit.host.id, host=visit.host.name, agrees=None, wanted=wanted, error=str(error)
            )
        found = tuple(sorted(Exit(each["kind"], each["to"]) for each in said["exits"]))
        agrees: bool | None = found == wanted
        reason = ""
        if not agrees and said["is_translated"]:
            agrees, reason = None, "a switch's trace does not follow translated addresses"
        return Look(
            host_id=visit.host.id,
            host=visit.host.name,
            agrees=agrees,
            wanted=wanted,
            found=found,
            flows=tuple(said["flows"]),
            error=reason,
        )


def _agree(looks: Iterable[Look]) -> bool | None:
    """False if any switch differs; None if one could not say; else True."""
    said = [look.agrees for look in looks]
    if False in said:
        return False
    return None if None in said else True
