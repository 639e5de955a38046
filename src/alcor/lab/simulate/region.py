"""The region that is simulated upon: processes of its own in a throw-away folder, or one that runs already."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from alcor.lab.command import LabError, start, tail, wait_until
from alcor.lab.ledger import Ledger
from alcor.lab.simulate.database import Database

START_S = 180.0
_METRICS_S = 30.0
_MEMORY_S = 2.0
CONFIG = """[quota]
network = -1
subnet = -1
port = -1
router = -1
security_group = -1
security_group_rule = -1

[ncm]
lazy_above = {lazy_above}
lazy_below = {lazy_below}

[log]
level = "warning"
"""

Metrics = dict[str, float]
"""Name with labels, as a process prints it → value."""


class Process:
    """One process of the region: `alcor up` or `alcor serve`, started again as it was."""

    def __init__(self, name: str, words: Sequence[str], data: Path, ledger: Ledger) -> None:
        self.name, self._words, self._data, self._ledger = name, tuple(words), data, ledger
        self._log = data.parent / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id; 0 before its first start."""
        return self._process.pid if self._process is not None else 0

    @property
    def _file(self) -> Path:
        if self.name == "region":
            return self._data / "region.json"
        return self._data / f"{self.name.partition('-')[0]}-{self.pid}.json"

    @property
    def facts(self) -> dict[str, Any]:
        """Where it is, as it announced."""
        return dict(orjson.loads(self._file.read_bytes()))

    def start(self) -> None:
        """Start it and wait until it serves. Raises: LabError with the end of its log."""
        if self.name == "region":
            self._file.unlink(missing_ok=True)
        command = (sys.executable, "-m", "alcor.cli.main", *self._words, "--data", str(self._data))
        self._process = start(self._ledger, *command, log=self._log)
        process = self._process
        wait_until(
            self.name,
            lambda: self._file.exists() or process.poll() is not None,
            deadline_s=START_S,
            every_s=0.01,
        )
        if not self._file.exists():
            raise LabError(f"{self.name} did not start:\n{tail(self._log)}")

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._file.unlink(missing_ok=True)


@dataclass
class Region:
    """A region under load. `ncms`: where agents attach; `processes`: those that are ours to kill, by name."""

    endpoint: str
    token: str
    ncms: tuple[str, ...]
    processes: dict[str, Process] = field(default_factory=dict)
    database: Database | None = None
    store_url: str | None = None
    """Where its rows can be read: a PostgreSQL URL; "" for SQLite in `data`; None if they cannot."""
    data: Path | None = None

    @property
    def pids(self) -> dict[str, int]:
        """Its processes that are measured, by name."""
        found = {name: each.pid for name, each in self.processes.items()}
        if self.database is not None:
            found["postgres"] = self.database.pid
        return found

    def operations(self) -> tuple[str, ...]:
        """Where its processes tell their metrics; those that are dead are left out."""
        if not self.processes:
            return (self.endpoint,)
        found = []
        for each in self.processes.values():
            try:
                found.append(str(each.facts["operations"]))
            except (OSError, KeyError):
                continue
        return tuple(found)

    def restart(self, names: Sequence[str]) -> None:
        """kill -9 these processes, all before the first is started again; returns when they serve."""
        for name in names:
            self.processes[name].kill()
        for name in names:
            self.processes[name].start()
        api = self.processes.get("region") or self.processes["api"]
        self.endpoint = str(api.facts["endpoint"])


async def scrape(http: httpx.AsyncClient, region: Region) -> Metrics:
    """The metrics of all processes; of gauges and counters that several have, the sum, of revisions the highest."""

    async def one(url: str) -> str:
        try:
            return (await http.get(f"{url}/metrics", timeout=_METRICS_S)).text
        except httpx.HTTPError:
            return ""

    found: Metrics = {}
    for text in await asyncio.gather(*(one(url) for url in region.operations())):
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            name, _, value = line.rpartition(" ")
            if name.startswith("alcor_revision{"):
                found[name] = max(found.get(name, 0.0), float(value))
            elif name.startswith("alcor_"):
                found[name] = found.get(name, 0.0) + float(value)
    return found


async def head(http: httpx.AsyncClient, region: Region) -> int:
    """The last revision any process knows of; -1 if none answers."""
    metrics = await scrape(http, region)
    return max(
        (int(value) for name, value in metrics.items() if name.startswith("alcor_revision{")), default=-1
    )


def free_address() -> str:
    """An address of this machine where nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def start_region(
    folder: Path,
    ledger: Ledger,
    *,
    store_url: str,
    ncms: int,
    dataplanes: int,
    database: Database | None,
    lazy_above: int = 0,
) -> Region:
    """A throw-away region in `folder`. With SQLite all is one process. Raises: LabError."""
    data = folder / "region"
    config = write_config(folder, lazy_above)
    api_at, agents = free_address(), [free_address() for _ in range(ncms)]
    processes: dict[str, Process] = {}

    def add(name: str, *words: str) -> None:
        processes[name] = Process(name, (*words, "--config", str(config)), data, ledger)
        processes[name].start()

    if not store_url:
        add("region", "up", "--listen", api_at, "--agents-listen", agents[0])
        api = processes["region"]
    else:
        store = ("--store", store_url)
        add("api", "serve", "--role", "api", "--listen", api_at, *store)
        for number in range(dataplanes):
            name = "dataplane" if dataplanes == 1 else f"dataplane-{number + 1}"
            add(name, "serve", "--role", "dataplane", "--bus-listen", free_address(), *store)
        for number, address in enumerate(agents):
            where = ("--agents-listen", address, "--agents-socket", str(data / f"agents-{number + 1}.sock"))
            bus = ("--dataplane", f"unix:{data}/bus.sock")
            add(f"ncm-{number + 1}", "serve", "--role", "ncm", *where, *bus, *store)
        api = processes["api"]
    return Region(
        endpoint=str(api.facts["endpoint"]),
        token=(data / "admin.token").read_text().strip(),
        ncms=tuple(agents),
        processes=processes,
        database=database,
        store_url=store_url,
        data=data,
    )


def write_config(folder: Path, lazy_above: int) -> Path:
    """The configuration of a throw-away region: no quotas, and quiet. `lazy_above`: as `ncm.lazy_above`."""
    path = folder / "alcor.toml"
    path.write_text(CONFIG.format(lazy_above=lazy_above, lazy_below=lazy_above * 4 // 5))
    return path


@dataclass
class Usage:
    """Memory and processor time of processes, sampled.

    Cost: microseconds a process, and where memory is looked at 20 ms per GiB of it: so only every `_MEMORY_S`.
    """

    # When memory is to be looked at next (monotonic).
    memory_due_s: float = 0.0
    cpu_s: dict[str, float] = field(default_factory=dict)
    rss: dict[str, int] = field(default_factory=dict)
    rss_max: dict[str, int] = field(default_factory=dict)

    def forget_memory(self) -> None:
        """Have the next look look at memory, too."""
        self.memory_due_s = 0.0

    def sample(self, pids: dict[str, int]) -> None:
        """Look at them now; what is dead keeps its last figures. A database's children count as it."""
        now = time.monotonic()
        is_due = now >= self.memory_due_s
        if is_due:
            self.memory_due_s = now + _MEMORY_S
        for name, pid in pids.items():
            family = _family(pid) if name == "postgres" else [pid]
            # A process that was not seen yet is shown with its memory from the beginning.
            if (is_due or name not in self.rss) and (rss := sum(map(_memory_of, family))):
                self.rss[name] = rss
                self.rss_max[name] = max(rss, self.rss_max.get(name, 0))
            if cpu := sum(map(_cpu_of, family)):
                self.cpu_s[name] = cpu


def _family(pid: int) -> list[int]:
    """A process and all that come from it. Cost: O(processes of the machine)."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        if fields := _stat_of(int(path.parent.name)):
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def _stat_of(pid: int) -> list[str]:
    """The fields of /proc/pid/stat from the third on; none if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def _cpu_of(pid: int) -> float:
    """A process's processor seconds; 0 if it is gone."""
    fields = _stat_of(pid)
    return (int(fields[11]) + int(fields[12])) / 100 if fields else 0.0


def _memory_of(pid: int) -> int:
    """A process's own memory, shared pages in proportion; 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:")), 0)
