"""Writes a second into PostgreSQL, straight through the store: no HTTP, one or several processes.

Four kinds of request, each a transaction made durable:
- *skeleton*: one port row and two claims, no rule of ours (as `benchmarks.skeleton`);
- *port*: the real Port Manager, one port without a host on a large subnet: its reads, a MAC address, an address, the
  default group;
- *churn*: creates and deletes in turn;
- *small*: the same on networks with a /24, whose free addresses are one bitmap that all its creators change.

`one network`: all clients at once in it; `many`: each client in one of its own. The server runs on the same cores,
from the distribution's binaries, fsync on. `numbered`: the request also waits for its revision.
"""

import asyncio
import json
import random
import subprocess
import sys
import time
from typing import Any

import uvloop

from alcor.managers.interface import Caller, Manager
from alcor.managers.registry import managers
from alcor.model.port import Port
from alcor.store.interface import Transaction, Work
from alcor.store.postgres import PostgresStore
from alcor.telemetry import metrics
from benchmarks.measure import load_average, quantiles, report
from tests.support.managers import created_values
from tests.support.postgres import Server, start_server

SECONDS = 5.0
CLIENTS = 32
CALLER = Caller("p" * 32, is_admin=True)
CASES = [
    # kind, networks, processes, numbered
    ("skeleton", "one", 1, False),
    ("skeleton", "one", 1, True),
    ("skeleton", "one", 4, False),
    ("port", "one", 1, False),
    ("port", "one", 1, True),
    ("port", "one", 4, False),
    ("port", "many", 1, False),
    ("port", "many", 4, False),
    ("small", "one", 1, False),
    ("small", "many", 4, False),
    ("small", "one", 4, False),
    ("churn", "one", 4, False),
]


def _managers() -> dict[str, Manager]:
    return {each.resource.name: each for each in managers() if isinstance(each, Manager)}


def _create(manager: Manager, **said: Any) -> Work[Any]:
    create = manager.create
    assert create is not None
    return lambda tx: create(tx, CALLER, [created_values(manager.resource, **said)])


async def make_networks(store: PostgresStore, count: int, prefix: int) -> list[str]:
    """Networks with one subnet each."""
    by_name = _managers()
    found = []
    for number in range(count):
        (made,) = (await store.write(_create(by_name["network"], name=f"bench-{prefix}-{number}"))).value
        found.append(made.row.id)
        cidr = f"10.{number % 250}.0.0/{prefix}"
        await store.write(
            _create(by_name["subnet"], network_id=found[-1], ip_version=4, cidr=cidr, enable_dhcp=False)
        )
    return found


def work_of(kind: str, network_id: str, manager: Manager, held: list[Any]) -> Work[Any]:
    """One request."""

    async def skeleton(tx: Transaction) -> None:
        id = tx.new_id()
        await tx.claim("mac:skeleton", id, id)
        await tx.claim("address:skeleton", id, id)
        tx.insert(Port(id=id, network_id=network_id, mac_address=id))

    async def remove(tx: Transaction) -> None:
        assert manager.delete is not None
        await manager.delete(tx, CALLER, await tx.get(Port, held[-1]))

    if kind == "skeleton":
        return skeleton
    if kind in ("churn", "small") and len(held) > 2:
        return remove
    return _create(manager, network_id=network_id)


async def _client(
    store: PostgresStore, kind: str, network_id: str, stop_at: float, samples: list[float], *, numbered: bool
) -> None:
    manager = _managers()["port"]
    held: list[str] = []
    while (began := time.perf_counter()) < stop_at:
        work = work_of(kind, network_id, manager, held)
        made = (await store.write(work, numbered=numbered)).value
        if made:
            held.append(made[0].row.id)
        elif held:
            held.pop()
        samples.append((time.perf_counter() - began) * 1000)


async def _process(
    dsn: str, kind: str, networks: list[str], clients: int, seconds: float, *, numbered: bool
) -> None:
    store = await PostgresStore.open(dsn)
    samples: list[float] = []
    # Connections are opened and statements planned first.
    warm: list[float] = []
    for phase, spent in ((warm, 1.0), (samples, seconds)):
        before = _counters()
        began = time.perf_counter()
        await asyncio.gather(
            *(
                _client(store, kind, networks[n % len(networks)], began + spent, phase, numbered=numbered)
                for n in range(clients)
            )
        )
        wall_s = time.perf_counter() - began
    after = _counters()
    print(
        json.dumps(
            {
                "wall_s": wall_s,
                "samples_ms": samples,
                "counts": [b - a for a, b in zip(before, after, strict=True)],
            }
        )
    )
    await store.close()


def _counters() -> list[float]:
    return [
        metrics.REGISTRY.get_sample_value("alcor_store_reruns_total", {"store": "postgres"}) or 0.0,
        metrics.REGISTRY.get_sample_value(
            "alcor_store_statements_total", {"store": "postgres", "purpose": "write"}
        )
        or 0.0,
    ]


def measure(dsn: str, case: tuple[str, str, int, bool], networks: dict[str, list[str]]) -> dict[str, Any]:
    """One row of the table."""
    kind, which, processes, numbered = case
    pool = networks["small" if kind == "small" else "large"]
    chosen = pool[:1] if which == "one" else pool
    began = time.perf_counter()
    running = []
    for number in range(processes):
        mine = chosen[number * len(chosen) // processes :] or chosen
        spec = json.dumps([dsn, kind, mine, CLIENTS // processes, SECONDS, numbered])
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.store_postgres", spec], stdout=subprocess.PIPE
            )
        )
    told = [line for process in running for line in process.communicate()[0].decode().splitlines()]
    # Beside its result a process may have logged something.
    print(*(line for line in told if not line.startswith("{")), sep="\n", end="")
    results = [json.loads(line) for line in told if line.startswith("{")]
    samples = [sample for result in results for sample in result["samples_ms"]]
    requests = len(samples)
    reruns, statements = (sum(result["counts"][place] for result in results) for place in (0, 1))
    return {
        "what": kind,
        "networks": which,
        "processes": processes,
        "numbered": numbered,
        "requests/s": round(sum(len(r["samples_ms"]) / r["wall_s"] for r in results)),
        **{f"{name} ms": value for name, value in quantiles(samples).items()},
        "statements per request": round(statements / requests, 1),
        "reruns per request": round(reruns / requests, 3),
        "took_s": round(time.perf_counter() - began, 1),
    }


async def _prepare(server: Server) -> tuple[str, dict[str, list[str]]]:
    name = await server.fresh()
    dsn = server.dsn(name)
    store = await PostgresStore.open(dsn, rng=random.Random(1))
    networks = {
        "large": await make_networks(store, CLIENTS, 16),
        "small": await make_networks(store, CLIENTS, 24),
    }
    await store.close()
    return dsn, networks


def main(only: str = "") -> None:
    """Run and print."""
    load_before = load_average()
    server = start_server({"shared_buffers": "512MB", "max_wal_size": "4GB"})
    rows = []
    for case in CASES:
        if only and case[0] not in only.split(","):
            continue
        dsn, networks = asyncio.run(_prepare(server))
        rows.append(measure(dsn, case, networks))
        print(rows[-1], flush=True)
    report("store_postgres", rows, load_before=load_before)


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].startswith("["):
        dsn, kind, networks, clients, seconds, numbered = json.loads(sys.argv[1])
        uvloop.run(_process(dsn, kind, networks, clients, seconds, numbered=numbered))
    else:
        main(*sys.argv[1:])
