"""What a person sees of a run."""

import io
from typing import Any, cast

import pytest
from rich.console import Console

from alcor.lab.simulate.plan import Plan
from alcor.lab.simulate.run import Run, Sample
from alcor.lab.simulate.show import table


def sample(at_s: float) -> Sample:
    """A look at 12,345 hosts."""
    return Sample(
        at_s=at_s,
        phase="churn",
        head=1_234_567,
        attached=12_345,
        confirmed=12_345,
        slowest=1_234_567,
        slowest_name="sim-00000",
        plugged=1_000_000,
        flows=123_456_789,
        items=0,
        received=0,
        sent=0,
        rss={"dataplane-1": 1 << 30},
        cpu_s={"dataplane-1": at_s / 2},
    )


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_the_live_table_is_whole_on_any_terminal(columns: int) -> None:
    """What is longer than a line is folded, and no line is longer than the terminal."""
    none = cast(Any, None)
    run = Run(Plan(hosts=12_345), none, none, none, lambda _run: None, 60)
    run.alive, run.samples = 12_345, [sample(0.0), sample(2.0)]
    shown = io.StringIO()
    Console(file=shown, width=columns).print(table(run), no_wrap=True, crop=False)
    text = shown.getvalue()

    assert max(map(len, text.splitlines())) <= columns
    assert "sim-00000)" in text
    assert "50% of a processor" in text
