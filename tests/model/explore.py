"""All states of a model, breadth first: what is wrong in any of them, and from which ones there is no way home."""

from collections import deque
from dataclasses import dataclass, field

from tests.model.region import Model, State, is_open


@dataclass
class Explored:
    """What was found. `wrong`: the first broken promise and the moves that lead to it; `stuck`: states from which no
    moves without faults lead to rest."""

    states: int = 0
    moves: int = 0
    converged: int = 0
    opened: int = 0
    wrong: str = ""
    path: list[str] = field(default_factory=list)
    stuck: list[State] = field(default_factory=list)


def explore(model: Model) -> Explored:
    """Look at everything. Cost: about 20 µs per move."""
    found = Explored()
    first = model.initial()
    numbers: dict[State, int] = {first: 0}
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
            known = numbers.get(after)
            wrong = model.wrong(*changed) if changed is not None else ""
            if changed is not None and is_open(changed[1], model.rules):
                found.opened += 1
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
    found.stuck = _stuck(numbers, leading, home)
    return found


def _path(came: list[tuple[int, str]], number: int) -> list[str]:
    names: list[str] = []
    while number:
        number, name = came[number]
        names.append(name)
    return names[::-1]


def _stuck(numbers: dict[State, int], leading: list[list[int]], home: list[int]) -> list[State]:
    """The states from which no converged one is reached without faults."""
    reached = set(home)
    pending = list(home)
    while pending:
        for before in leading[pending.pop()]:
            if before not in reached:
                reached.add(before)
                pending.append(before)
    return [state for state, number in numbers.items() if number not in reached]
