"""What every benchmark prints: a readable table and one JSON object with machine, commit, load and units."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]


def lift_quotas() -> None:
    """Let regions started from now on give a project any number of what benchmarks make."""
    os.environ.update({f"ALCOR_QUOTA__{name}": "-1" for name in ("NETWORK", "SUBNET", "PORT")})


def quantiles(samples_ms: Sequence[float]) -> dict[str, float]:
    """p50, p90, p99 and max of samples, in the samples' unit."""
    ordered = sorted(samples_ms)
    at = {name: ordered[min(len(ordered) - 1, int(len(ordered) * share))] for name, share in _SHARES.items()}
    return {name: round(value, 3) for name, value in at.items()} | {"max": round(ordered[-1], 3)}


_SHARES = {"p50": 0.50, "p90": 0.90, "p99": 0.99}


def load_average() -> float:
    """The machine's load over the last minute."""
    return round(os.getloadavg()[0], 2)


def report(name: str, rows: Sequence[dict[str, Any]], *, load_before: float) -> None:
    """Print the rows as a table, then everything as JSON; with `ALCOR_BENCH_OUT` also into that folder."""
    commit = _git("rev-parse", "--short", "HEAD")
    # What was measured is the product: figures that were written down since do not make it another one.
    if _git("status", "--porcelain", "--", "src"):
        commit += "-changed"
    facts = {
        "benchmark": name,
        "commit": commit,
        "machine": f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}",
        "load_before": load_before,
        "load_after": load_average(),
        "rows": list(rows),
    }
    table = Table(title=f"{name} ({facts['machine']}, commit {commit})", title_justify="left")
    for column in rows[0]:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            *(f"{value:,}" if isinstance(value, int | float) else str(value) for value in row.values())
        )
    Console(width=160).print(table)
    print(json.dumps(facts))
    if folder := os.environ.get("ALCOR_BENCH_OUT"):
        Path(folder, f"{name}.json").write_text(json.dumps(facts, indent=2) + "\n")


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
