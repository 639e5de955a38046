"""A region under a seed, with every kind of trouble: after it, each host's flows are those compiled from intent.

`pytest tests/dst --seed N` replays one seed exactly and shows its last steps.
"""

from collections import Counter

import pytest

from tests.support.sim.child import run_child
from tests.support.sim.crash import KINDS
from tests.support.sim.run import Outcome

BATCH = 20
"""Seeds that share a process: starting one takes as long as some runs."""
SEEDS, SEEDS_LONG = 200, 4_000
FOUND = (208, 209, 371, 2496, 2995, 5225)
"""Later seeds that have failed."""
CRASHES, CRASHES_LONG = 10, 10_000
"""Resumptions per kind at which a crash is tried; the long run tries all."""

SEEN = (
    *("deaths", "terms", "carried", "turned_part", "turned_whole", "answers", "absences", "removals"),
    *("looked_up", "let_go", "several_at_once", "heads_back"),
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Batches of seeds: as many as the run is to be long and those that have failed, or the one that is replayed."""
    if "batch" not in metafunc.fixturenames:
        return
    seed: int | None = metafunc.config.getoption("--seed")
    if seed is not None:
        metafunc.parametrize("batch", [(seed, seed)], ids=[f"seed-{seed}"])
        return
    last = SEEDS_LONG if metafunc.config.getoption("--long") else SEEDS
    batches = [(first, first + BATCH - 1) for first in range(1, last + 1, BATCH)]
    batches += [(seed, seed) for seed in FOUND if seed > last]
    metafunc.parametrize("batch", batches, ids=[f"from-{first}" for first, _ in batches])


def told(outcome: Outcome, replay: str) -> str:
    """A failed run, for people."""
    findings = "\n".join(outcome.findings[:20])
    return f"{findings}\nthe last steps:\n{outcome.tail}\nreplay: {replay}"


def test_a_region_recovers_from_everything(batch: tuple[int, int]) -> None:
    """Whatever died, stalled or was cut off, in whatever order: at rest every host is as intent says, and so are ports'
    states, the rows and the tasks."""
    first, last = batch

    outcomes = run_child("seeds", first, last)

    assert [outcome.seed for outcome in outcomes] == list(range(first, last + 1))
    for outcome in outcomes:
        replay = f"pytest tests/dst --seed {outcome.seed}"
        assert outcome.findings == [], told(outcome, replay)


def test_what_seeds_are_to_meet_happens() -> None:
    """Among a few seeds is everything that they are about: deaths, leases that move, frames by the broker, networks
    that pass the bound to being held on demand both ways, questions, answers, nobody found, what is let go of; steps of
    several revisions at once, and heads of who is behind its predecessor."""
    seen = Counter[str]()
    for outcome in run_child("seeds", 97, 116):
        seen.update(outcome.seen)

    lacking = [what for what in SEEN if seen[what] < 3]
    assert lacking == []


def test_a_seed_replays_exactly() -> None:
    """The same seed makes the same steps, in another process and after other seeds; another seed makes others."""
    alone = run_child("seeds", 7, 7)
    after_others = run_child("seeds", 4, 7)

    assert alone[0] == after_others[-1]
    assert len({outcome.digest for outcome in after_others}) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_crash_at_any_await(kind: str, request: pytest.FixtureRequest) -> None:
    """Whichever resumption a process dies at, the region comes to the same end."""
    parts = CRASHES_LONG if request.config.getoption("--long") else CRASHES

    outcomes = run_child("crashes", kind, parts)

    assert len(outcomes) >= CRASHES
    for outcome in outcomes:
        replay = f"PYTHONHASHSEED=0 setarch -R python -m tests.dst.worker crash {kind} {outcome.seed}"
        assert outcome.findings == [], told(outcome, replay)
