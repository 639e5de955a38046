"""One flow table of the simulated switch: which flow a packet meets, conjunctions included."""

from collections.abc import Callable, Iterator, Mapping

from alcor.pipeline.flow import Conjunction, Field, Flow, FlowKey
from alcor.pipeline.text import render

Read = Callable[[Field], int]
"""The value of a field of the packet."""

_Shape = tuple[tuple[Field, int | None], ...]


class SimulationError(Exception):
    """The flows are wrong: an ambiguous look-up, or a packet without an end."""


class Rows:
    """The flows by the shape of their matches, so that a look-up is one hash per shape."""

    def __init__(self) -> None:
        self._shapes: dict[_Shape, dict[tuple[int, ...], dict[int, Flow]]] = {}

    def put(self, flow: Flow) -> None:
        """Add a flow, or replace the one with its key."""
        shape = tuple((term.field, term.mask) for term in flow.match)
        values = tuple(term.value for term in flow.match)
        self._shapes.setdefault(shape, {}).setdefault(values, {})[flow.priority] = flow

    def remove(self, key: FlowKey) -> None:
        """Remove a flow that is there."""
        shape = tuple((term.field, term.mask) for term in key.match)
        values = tuple(term.value for term in key.match)
        by_values = self._shapes[shape]
        del by_values[values][key.priority]
        if not by_values[values]:
            del by_values[values]
        if not by_values:
            del self._shapes[shape]

    def find(self, read: Read) -> Flow | None:
        """The flow that a packet meets. Raises: SimulationError if two of the highest priority match and
        do different things.

        As in Open vSwitch a flow of conjunctions is never met itself: where its priority is above that of every other
        flow that matches, and one priority fulfils all clauses of a conjunction, the packet is looked up again with
        CONJ_ID set, flows of conjunctions left out.
        """
        best, clauses = self._meet(read, 0)
        for priority in sorted((p for p in clauses if best is None or p > best.priority), reverse=True):
            for id in sorted(_fulfilled(clauses[priority])):
                found, _ = self._meet(read, id)
                if found is not None:
                    return found
        return best

    def _meet(self, read: Read, conjunction: int) -> tuple[Flow | None, Mapping[int, list[Conjunction]]]:
        best: Flow | None = None
        rival: Flow | None = None
        clauses: dict[int, list[Conjunction]] = {}
        for row in self._matching(read, conjunction):
            alternatives = [action for action in row.actions if isinstance(action, Conjunction)]
            if alternatives:
                clauses.setdefault(row.priority, []).extend(alternatives)
            elif best is None or row.priority > best.priority:
                best, rival = row, None
            elif row.priority == best.priority and row.actions != best.actions:
                rival = row
        if best is not None and rival is not None:
            raise SimulationError(f"two flows match one packet: {render(best)} and {render(rival)}")
        return best, clauses

    def _matching(self, read: Read, conjunction: int) -> Iterator[Flow]:
        for shape, by_values in self._shapes.items():
            values = tuple(
                conjunction if field is Field.CONJ_ID else read(field) if mask is None else read(field) & mask
                for field, mask in shape
            )
            rows = by_values.get(values)
            if rows:
                yield from rows.values()


def _fulfilled(clauses: list[Conjunction]) -> set[int]:
    """The conjunctions of which every clause is there."""
    met: dict[tuple[int, int], set[int]] = {}
    for id, clause, of in clauses:
        met.setdefault((id, of), set()).add(clause)
    return {id for (id, of), found in met.items() if len(found) == of}
