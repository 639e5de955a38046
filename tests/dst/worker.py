"""Runs seeds in a process of its own: `python -m tests.dst.worker WHAT …`. Prints one JSON object per run.

WHAT: `seeds FIRST LAST`; `crash KIND AT`, in which something dies at one resumption; `crashes KIND PARTS`, the same at
about so many of its resumptions, evenly; `doctored SEED`, whose record is tampered with in several ways.
"""

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict

from alcor.telemetry.log import configure
from tests.support.sim.crash import crash, steps_of
from tests.support.sim.doctor import doctored
from tests.support.sim.run import Founding, Outcome, simulate

STORY_SEED = 1


def _runs(what: str, arguments: list[str]) -> Iterable[Outcome]:
    if what == "seeds":
        first, last = map(int, arguments)
        yield from (simulate(seed) for seed in range(first, last + 1))
    elif what == "doctored":
        yield from doctored(int(arguments[0]))
    elif what == "crash":
        yield _crash(arguments[0], int(arguments[1]))
    else:
        kind, parts = arguments[0], int(arguments[1])
        count = steps_of(kind, STORY_SEED)
        for at in range(1, count + 1, max(1, count // parts)):
            yield _crash(kind, at)


def _crash(kind: str, at: int) -> Outcome:
    outcome = crash(kind, at, STORY_SEED)
    outcome.seed = at
    return outcome


def main() -> None:
    configure("critical")
    for outcome in _runs(sys.argv[1], sys.argv[2:]):
        print(json.dumps(asdict(outcome)), flush=True)
    Founding.remove()
    # Without destructors: what was killed in the simulation must not come to its `finally` now.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
