"""All states of a model, breadth first: what is wrong in any of them, and from which ones there is no way home."""

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

S = TypeVar("S", bound=Hashable)


class Model(Protocol[S]):
    """What can be looked at whole."""

    def initial(self) -> S:
        """The first state."""

    def moves(self, state: S) -> Iterable[tuple[str, bool, S, tuple[Any, Any] | None]]:
        """What can happen next: (name, whether it is a fault, the state after it, what it changed from and to).

        Nothing depends on that a fault is made. What changed is None where nothing of it can be wrong.
        """

    def is_converged(self, state: S) -> bool:
        """Whether everybody has everything that there is."""

    def wrong(self, before: Any, now: Any) -> str:
        """What a change breaks; empty if nothing."""

    def is_seen(self, now: Any) -> bool:
        """Whether what the model is to meet at times is met after a change."""


@dataclass
class Explored:
    """What was found. `wrong`: the first broken promise and the moves that lead to it; `stuck`: how many states there
    are from which no moves without faults lead to rest. `seen`: how often what is to be met was."""

    states: int = 0
    moves: int = 0
    converged: int = 0
    seen: int = 0
    wrong: str = ""
    path: list[str] = field(default_factory=list)
    stuck: int = 0
    made: set[str] = field(default_factory=set)
    """Names of all moves that were made."""


def explore(model: Model[S]) -> Explored:
    """Look at everything. Cost: about 20 µs per move."""
    found = Explored()
    first = model.initial()
    numbers: dict[S, int] = {first: 0}
    came: list[tuple[int, str]] = [(0, "")]
    # For each state, which others lead to it without a fault.
    leading: list[list[int]] = [[]]
    home: list[int] = []
    queue = deque([first])
    while queue:
        state = queue.popleft()
        number = numbers[state]
        if model.is_converged(state):
            home.append(number)
        for name, is_fault, after, changed in model.moves(state):
            found.moves += 1
            found.made.add(name)
            known = numbers.get(after)
            if changed is not None:
                wrong = model.wrong(*changed)
                found.seen += model.is_seen(changed[1])
                if wrong:
                    found.states, found.wrong = len(came), wrong
                    found.path = [*_path(came, number), name]
                    return found
            if known is None:
                known = numbers[after] = len(came)
                came.append((number, name))
                leading.append([])
                queue.append(after)
            if not is_fault:
                leading[known].append(number)
    found.states, found.converged = len(came), len(home)
    found.stuck = len(came) - len(_reached(leading, home))
    return found


def _path(came: list[tuple[int, str]], number: int) -> list[str]:
    names: list[str] = []
    while number:
        number, name = came[number]
        names.append(name)
    return names[::-1]


def _reached(leading: list[list[int]], home: list[int]) -> set[int]:
    """The states from which a converged one is reached without faults."""
    reached = set(home)
    pending = list(home)
    while pending:
        for before in leading[pending.pop()]:
            if before not in reached:
                reached.add(before)
                pending.append(before)
    return reached
