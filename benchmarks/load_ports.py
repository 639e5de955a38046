"""Ports loaded a second: through the API in bulks of 500 with four clients, and straight into the store.

Claims: ports a second on SQLite and on a PostgreSQL of the benchmark's own, with full durability; processor seconds.

    python -m benchmarks.load_ports [--ports N]
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import httpx

from alcor.lab.ledger import Ledger
from alcor.lab.simulate.database import Database
from alcor.lab.simulate.direct import direct_loader
from alcor.lab.simulate.load import ApiLoader, load
from alcor.lab.simulate.plan import Plan, even
from alcor.lab.simulate.region import start_region
from benchmarks.measure import load_average, report
from benchmarks.simulated import Row


def _nobody(_done: int, _all: int) -> None:
    """Nobody looks on."""


async def measure(backend: str, path: str, ports: int) -> Row:
    """One store, one path."""
    plan = Plan(hosts=100, sizes=even(ports, max(1, ports // 1_000)))
    with tempfile.TemporaryDirectory(prefix="alcor-bench-") as name:
        folder = Path(name)
        await asyncio.to_thread(folder.chmod, 0o711)
        ledger = Ledger(folder)
        database = Database(folder / "postgres", ledger) if backend == "postgres" else None
        try:
            if database is not None:
                await asyncio.to_thread(database.start)
            url = database.url if database is not None else ""
            if path == "direct":
                async with direct_loader(folder / "region", url) as loader:
                    began = time.perf_counter()
                    await load(loader, plan, _nobody)
            else:
                region = await asyncio.to_thread(
                    lambda: start_region(
                        folder, ledger, store_url=url, ncms=1, dataplanes=1, database=database
                    )
                )
                headers = {"X-Auth-Token": region.token}
                async with httpx.AsyncClient(base_url=region.endpoint, headers=headers) as http:
                    began = time.perf_counter()
                    await load(ApiLoader(http), plan, _nobody)
            elapsed_s = time.perf_counter() - began
        finally:
            ledger.sweep()
            if database is not None:
                database.stop()
    return {
        "store": backend,
        "path": path,
        "ports": ports,
        "s": round(elapsed_s, 2),
        "ports per s": round(ports / elapsed_s),
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ports", type=int, default=50_000)
    chosen = parser.parse_args()
    before = load_average()
    rows = [
        asyncio.run(measure(backend, path, chosen.ports))
        for backend in ("sqlite", "postgres")
        for path in ("api", "direct")
    ]
    report("load_ports", rows, load_before=before)


if __name__ == "__main__":
    main()
