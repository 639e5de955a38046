"""A region whose roles are processes of their own, on one real PostgreSQL."""

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson

from alcor import __version__
from alcor.agent.service import Agent
from alcor.agent.simulated import SimulatedSwitch
from alcor.bus.codec import ProtobufCodec
from alcor.bus.grpc_client import GrpcConnector
from alcor.lab.command import LabError, start, tail, wait_until
from alcor.lab.ledger import Ledger
from alcor.lab.region import Client

PATIENCE_S = 60.0
ANY_PORT = "127.0.0.1:0"
ROLES = ("api", "dataplane", "ncm")


class RoleProcess:
    """`alcor serve --role …` on a data folder that processes of one machine share."""

    def __init__(self, name: str, roles: tuple[str, ...], data: Path, flags: tuple[str, ...]) -> None:
        self.name, self.roles, self.data, self._flags = name, roles, data, flags
        self.log = data.parent / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, ledger: Ledger) -> None:
        """Start it and return at once; `ready` waits."""
        words = [word for role in self.roles for word in ("--role", role)]
        command = (sys.executable, "-m", "alcor.cli.main", "serve", *words, "--data", str(self.data))
        self._process = start(ledger, *command, *self._flags, log=self.log)

    def ready(self) -> None:
        """Wait until it serves. Raises: LabError with the end of its log."""
        wait_until(self.name, lambda: self._file.exists() or self.has_ended, deadline_s=PATIENCE_S)
        if not self._file.exists():
            raise LabError(f"{self.name} did not start:\n{tail(self.log)}")

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        assert self._process is not None
        return self._process.poll() is not None

    @property
    def facts(self) -> dict[str, Any]:
        """Where it is, as it announced."""
        return dict(orjson.loads(self._file.read_bytes()))

    @property
    def _file(self) -> Path:
        assert self._process is not None
        if len(self.roles) == len(ROLES):
            return self.data / "region.json"
        return self.data / f"{'-'.join(self.roles)}-{self._process.pid}.json"

    def health(self) -> tuple[int, dict[str, str]]:
        """The status of /healthz, and which parts are missing why."""
        answer = httpx.get(f"{self.facts['operations']}/healthz", timeout=10)
        return answer.status_code, dict(answer.json()["missing"])

    def parts(self) -> dict[str, str]:
        """What its parts say that they do."""
        return dict(httpx.get(f"{self.facts['operations']}/healthz", timeout=10).json()["parts"])

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Let it stand still (SIGSTOP): its connections stay, and it says nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def stop(self) -> int:
        """Ask it to end (SIGTERM) and return its exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait()


class Apart:
    """The processes of one region; `dsn`: its database."""

    def __init__(self, folder: Path, dsn: str) -> None:
        self.folder, self.dsn = folder, dsn
        self.ledger = Ledger(folder)
        self.data = folder / "data"
        self.processes: dict[str, RoleProcess] = {}

    def add(
        self, name: str, *roles: str, flags: tuple[str, ...] = (), data: Path | None = None
    ) -> RoleProcess:
        """Start a process and wait until it serves. `data`: of a machine of its own."""
        places = {
            "api": ("--listen", ANY_PORT),
            "dataplane": ("--bus-listen", ANY_PORT),
            "ncm": ("--agents-listen", ANY_PORT, "--dataplane", f"unix:{self.data}/bus.sock"),
        }
        chosen = tuple([word for role in roles for word in places[role]])
        process = RoleProcess(name, roles, data or self.data, ("--store", self.dsn, *chosen, *flags))
        self.processes[name] = process
        self.restart(process)
        return process

    def restart(self, process: RoleProcess) -> None:
        """Start a process, or start it again, and wait until it serves."""
        process.start(self.ledger)
        process.ready()

    def client(self, api: str) -> Client:
        """A client of one API process, with the token they share."""
        token = (self.data / "admin.token").read_text().strip()
        return Client(str(self.processes[api].facts["endpoint"]), token)


@asynccontextmanager
async def an_agent(data: Path, host: dict[str, Any]) -> AsyncIterator[SimulatedSwitch]:
    """The real agent of a registered host on a simulated switch, in this process. `data`: of its ncm."""
    switch = SimulatedSwitch(host["name"])
    agent = Agent(
        GrpcConnector(f"unix:{data}/agents.sock"),
        switch,
        ProtobufCodec(),
        host_id=host["id"],
        token=lambda: host["token"],
        version=__version__,
        now_ms=lambda: time.time_ns() / 1e6,
        random=random.random,
    )
    task = asyncio.create_task(agent.run())
    try:
        yield switch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(what: str, holds: Callable[[], bool]) -> None:
    """Wait for an outside thing, while agents of this process go on. Raises: LabError."""
    deadline = time.monotonic() + PATIENCE_S
    while not await asyncio.to_thread(holds):
        if time.monotonic() > deadline:
            raise LabError(f"waited {PATIENCE_S:.0f} s in vain for {what}")
        await asyncio.sleep(0.05)
