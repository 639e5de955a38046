"""What benchmarks of delivery share: a run of `alcor simulate` with a workload of the benchmark's own."""

from collections.abc import Awaitable, Callable
from typing import Any

from rich.console import Console

from alcor.lab.simulate.main import Wish, run_to_end
from alcor.lab.simulate.plan import Plan
from alcor.lab.simulate.run import Run
from alcor.lab.simulate.workload import Workload

Row = dict[str, Any]
MIB = 1 << 20


def run_one(plan: Plan, work: Callable[[Run], Awaitable[None]], **wish: Any) -> Row:
    """Load a throw-away region as planned, do `work`, audit; returns the facts. Raises: SystemExit if it is unsound."""
    made = Wish(Workload("benchmark", "", work), plan, **wish)
    # Ends with all it started, also by a signal.
    outcome = run_to_end(made, Console(stderr=True))
    if not outcome.is_sound:
        raise SystemExit(f"unsound: {outcome.facts['outcome']}; {outcome.facts['findings'][:3]}")
    return outcome.facts


def memory(facts: Row) -> Row:
    """The highest memory of each of the region's processes, and of workers per host."""
    found = {f"{name} MiB": octets // MIB for name, octets in facts["memory"].items() if "hosts" not in name}
    return found | {"KiB per host": facts["memory_per_host"] >> 10}
