"""From a command's wishes to a run and its report."""

import asyncio
import contextlib
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from alcor.lab.command import LabError
from alcor.lab.ledger import Ledger
from alcor.lab.simulate.database import Database
from alcor.lab.simulate.direct import direct_loader
from alcor.lab.simulate.fleet import Fleet, check_file_limit, raise_file_limit
from alcor.lab.simulate.load import ApiLoader, Loaded, Loader, load
from alcor.lab.simulate.plan import Plan
from alcor.lab.simulate.region import Region, start_region
from alcor.lab.simulate.report import facts, make_folder, write_report
from alcor.lab.simulate.run import Run
from alcor.lab.simulate.show import Display
from alcor.lab.simulate.workload import Workload
from alcor.model.errors import AlcorError
from alcor.runtime.settings import ConfigurationError

_REQUESTS_MAX = 64
_POSTGRES = ("postgresql://", "postgres://")
# What a region, its database or a call says against what is asked for; anything else is a mistake of ours.
_REFUSALS = (LabError, AlcorError, ConfigurationError, ValueError, httpx.HTTPError, ExceptionGroup)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for. `database`: sqlite, postgres (a server of its own) or a URL. `direct`: load past the API.

    `lazy_above`: networks of more ports are held on demand; 0: none. `endpoint`, `token`, `attach`: a region that runs
    already; `rows`: the PostgreSQL URL its rows are audited from.
    """

    workload: Workload
    plan: Plan
    workers: int = 2
    ncms: int = 1
    dataplanes: int = 1
    database: str = "sqlite"
    direct: bool = True
    deadline_s: float = 120.0
    report: Path | None = None
    endpoint: str = ""
    token: str = ""
    attach: tuple[str, ...] = ()
    rows: str | None = None
    lazy_above: int = 0


@dataclass(slots=True)
class Outcome:
    """How it ended. `facts`: as in report.json; `written`: the report's files."""

    is_sound: bool
    facts: dict[str, Any]
    written: list[Path]


async def simulate(wish: Wish, console: Console, *, quiet: bool = False) -> Outcome:
    """Carry it out. Raises: LabError before anything was simulated; what goes wrong afterwards is the outcome."""
    _check(wish)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="alcor-simulate-")))
        # A database server of another user must reach its own folder in it.
        await asyncio.to_thread(folder.chmod, 0o711)
        ledger = Ledger(folder)
        stack.callback(ledger.sweep)
        display = stack.enter_context(Display(console, quiet=quiet))
        return await _simulate(wish, folder, ledger, display)


def _check(wish: Wish) -> None:
    if wish.database not in ("sqlite", "postgres") and not wish.database.startswith(_POSTGRES):
        raise LabError("--database: sqlite, postgres, or the URL of an empty PostgreSQL (postgresql://…)")
    if wish.database == "sqlite" and not wish.endpoint and (wish.ncms > 1 or wish.dataplanes > 1):
        raise LabError(
            "on SQLite a region is one process: use --ncms 1 --dataplanes 1, or --database postgres for more"
        )
    if wish.endpoint and not (wish.token and wish.attach):
        raise LabError("--api needs --token and at least one --ncm ADDRESS, where agents attach")
    if not wish.endpoint and (wish.attach or wish.rows):
        raise LabError("--ncm and --rows are of a region that runs already: they need --api")
    if wish.report is not None:
        make_folder(wish.report)
    limit = raise_file_limit()
    processes = {"workers": wish.workers}
    if not wish.endpoint:
        processes["ncms"] = wish.ncms
    check_file_limit(wish.plan.hosts, processes, limit)


async def _simulate(wish: Wish, folder: Path, ledger: Ledger, display: Display) -> Outcome:
    async with contextlib.AsyncExitStack() as stack:
        try:
            region, loaded = await _region(wish, folder, ledger, display, stack)
            http = await stack.enter_async_context(_client(region))
            if loaded is None:
                loaded = await _load(ApiLoader(http), wish.plan, display)
        except _REFUSALS as error:
            raise LabError("; ".join(_reasons(error))) from error
        fleet = Fleet(wish.plan, folder, wish.workers)
        stack.push_async_callback(fleet.stop)
        await fleet.start()
        run = Run(wish.plan, region, fleet, http, display.show, wish.deadline_s, loaded)
        outcome = await _carry_out(run, wish.workload)
        found = facts(run, workload=wish.workload.name, outcome=outcome, load_s=loaded.elapsed_s)
    written = (
        await asyncio.to_thread(write_report, wish.report, run, found) if wish.report is not None else []
    )
    return Outcome(outcome == "sound", found, written)


async def _load(loader: Loader, plan: Plan, display: Display) -> Loaded:
    began = time.monotonic()
    return await load(loader, plan, lambda done, of: display.loading(done, of, began))


async def _carry_out(run: Run, workload: Workload) -> str:
    """The workload, then the audit; returns "sound" or what went wrong."""
    run.metrics_begun = await run.metrics()
    sampling = asyncio.create_task(run.keep_sampling(), name="simulate-sampling")
    try:
        await workload.run(run)
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)
        await run.step("audit", run.audit)
    except _REFUSALS as error:
        return f"failed in {run.phase}: {'; '.join(_reasons(error))}"
    finally:
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)
    run.metrics_ended = await run.metrics()
    return "sound" if not run.findings else f"{len(run.findings)} findings"


def _reasons(error: Exception) -> list[str]:
    """What went wrong, of several calls at a time each; other errors than these are ours, and go on."""
    if isinstance(error, ExceptionGroup):
        return [reason for each in error.exceptions for reason in _reasons(each)]
    if not isinstance(error, _REFUSALS):
        raise error
    text = str(error) or type(error).__name__
    if isinstance(error, httpx.RequestError):
        return [f"{error.request.method} {error.request.url}: {text}"]
    return [text]


async def _region(
    wish: Wish, folder: Path, ledger: Ledger, display: Display, stack: contextlib.AsyncExitStack
) -> tuple[Region, Loaded | None]:
    """The region, and what was loaded already; None if the API has to be asked."""
    if wish.endpoint:
        return Region(wish.endpoint, wish.token, wish.attach, store_url=wish.rows, data=folder), None
    database: Database | None = None
    url = "" if wish.database == "sqlite" else wish.database
    if wish.database == "postgres":
        database = Database(folder / "postgres", ledger)
        stack.callback(database.stop)
        await asyncio.to_thread(database.start)
        url = database.url
    loaded: Loaded | None = None
    if wish.direct:
        async with direct_loader(folder / "region", url) as loader:
            loaded = await _load(loader, wish.plan, display)
    display.say("starting the region")
    region = await asyncio.to_thread(
        lambda: start_region(
            folder,
            ledger,
            store_url=url,
            ncms=wish.ncms,
            dataplanes=wish.dataplanes,
            database=database,
            lazy_above=wish.lazy_above,
        )
    )
    # Processes go before their database, and before the folder.
    stack.callback(ledger.sweep)
    return region, loaded


@contextlib.asynccontextmanager
async def _client(region: Region) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=_REQUESTS_MAX, max_keepalive_connections=_REQUESTS_MAX)
    headers = {"X-Auth-Token": region.token}
    async with httpx.AsyncClient(base_url=region.endpoint, headers=headers, limits=limits) as http:
        yield http


def run_to_end(wish: Wish, console: Console, *, quiet: bool = False) -> Outcome:
    """`simulate` in a loop of its own; Ctrl-C and SIGTERM end it, and everything it started."""
    import uvloop

    async def main() -> Outcome:
        task = asyncio.current_task()
        assert task is not None
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, task.cancel)
        try:
            return await simulate(wish, console, quiet=quiet)
        except asyncio.CancelledError:
            raise LabError("interrupted; everything that was started has been ended") from None

    return uvloop.run(main())
