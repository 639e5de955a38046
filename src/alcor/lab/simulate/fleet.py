"""All simulated hosts, seen from the simulator: worker processes, and what they say together."""

import asyncio
import contextlib
import os
import resource
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from alcor.lab.command import LabError, tail
from alcor.lab.simulate.plan import Plan
from alcor.lab.simulate.wire import (
    Answer,
    Ask,
    Asked,
    Boot,
    Command,
    Done,
    Drain,
    Expected,
    Failed,
    Held,
    Hold,
    HostSpec,
    Judged,
    Kill,
    Look,
    Noted,
    Record,
    Return,
    Seen,
    Setup,
    Told,
    read_answer,
    write,
)

A = TypeVar("A", bound=msgspec.Struct)

# Files a process needs beside its hosts' streams.
_FILES_OTHER = 256
_STOP_S = 20.0


def raise_file_limit() -> int:
    """Raise this process's limit of open files as far as it may be, for it and its children; returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else sys.maxsize


def check_file_limit(hosts: int, processes: Mapping[str, int], limit: int) -> None:
    """`processes`: kind → how many share the hosts' streams. Raises: LabError that says how to get more."""
    for kind, count in processes.items():
        needed = -(-hosts // count) + _FILES_OTHER
        if needed > limit:
            raise LabError(
                f"{hosts:,} hosts need {needed:,} open files in each of {count} {kind}, and the limit is {limit:,}: "
                f"raise it (ulimit -Hn; LimitNOFILE in a unit), have more {kind}, or simulate fewer hosts"
            )


@dataclass(slots=True)
class _Process:
    """One worker. Commands go one at a time."""

    process: asyncio.subprocess.Process
    log: Path
    lock: asyncio.Lock

    async def ask(self, command: Command) -> Answer:
        """Raises: LabError if the worker failed or died.

        Who is cancelled meanwhile leaves no answer behind that the next one would take for his own.
        """
        return await asyncio.shield(self._exchange(command))

    async def _exchange(self, command: Command) -> Answer:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            async with self.lock:
                write(stdin, command)
                await stdin.drain()
                answer = await read_answer(stdout)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise LabError(f"a worker of simulated hosts died:\n{tail(self.log)}") from error
        if isinstance(answer, Failed):
            raise LabError(f"a worker of simulated hosts failed: {answer.reason}\n{tail(self.log)}")
        return answer


class Fleet:
    """Hosts in `workers` processes; a host's index says in which."""

    def __init__(self, plan: Plan, folder: Path, workers: int) -> None:
        self._plan, self._folder, self._count = plan, folder, workers
        self._workers: list[_Process] = []
        self._of: dict[str, _Process] = {}

    @property
    def pids(self) -> dict[str, int]:
        """The workers' processes, by name."""
        return {f"hosts-{number + 1}": each.process.pid for number, each in enumerate(self._workers)}

    async def start(self) -> None:
        """Start the processes, without a host."""
        for number in range(self._count):
            log = self._folder / f"hosts-{number + 1}.log"
            with log.open("ab") as errors:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *("-m", "alcor.lab.simulate.worker"),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=errors,
                    limit=1 << 30,
                    # Hashes of flows are compared within a worker; the same run gives the same ones.
                    env=os.environ | {"PYTHONHASHSEED": str(self._plan.seed % 4_294_967_296)},
                    start_new_session=True,
                )
            worker = _Process(process, log, asyncio.Lock())
            self._workers.append(worker)
            await worker.ask(Setup(str(self._plan.flows), self._plan.sampled(), self._plan.seed))

    async def stop(self) -> None:
        """End all of them, kindly if they let us."""
        for worker in self._workers:
            if worker.process.stdin is not None:
                worker.process.stdin.close()
        for worker in self._workers:
            try:
                async with asyncio.timeout(_STOP_S):
                    await worker.process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    worker.process.kill()
                await worker.process.wait()
        self._workers.clear()

    async def boot(self, specs: Sequence[HostSpec], *, at_once_max: int = 0) -> None:
        """Start the hosts' agents; returns when all are started, not when they are attached."""
        shares: list[list[HostSpec]] = [[] for _ in self._workers]
        for place, spec in enumerate(specs):
            shares[place % self._count].append(spec)
            self._of[spec.name] = self._workers[place % self._count]
        each_max = -(-at_once_max // self._count)
        await asyncio.gather(
            *(
                worker.ask(Boot(tuple(share), each_max))
                for worker, share in zip(self._workers, shares, strict=True)
            )
        )

    async def kill(self, names: Sequence[str] = ()) -> None:
        """End agents; none named: all."""
        await self._all([Kill(tuple(share)) for share in self._shares(names)])

    async def bring_back(self, names: Sequence[str] = ()) -> None:
        """Start dead agents again; none named: all."""
        await self._all([Return(tuple(share)) for share in self._shares(names)])

    def _shares(self, names: Sequence[str]) -> list[list[str]]:
        """The names of each worker's hosts; one without any is given a name that is nobody's."""
        if not names:
            return [[] for _ in self._workers]
        return [
            [name for name in names if self._of[name] is worker] or ["nobody"] for worker in self._workers
        ]

    async def record(self, *, on: bool) -> None:
        """Note what becomes of changes, from now on, or no longer."""
        await self._all([Record(on)] * self._count)

    async def look(self, head: int) -> list[Seen]:
        """How far the hosts are, by worker."""
        return _only(Seen, await self._all([Look(head)] * self._count))

    async def drain(self) -> tuple[dict[tuple[str, str, bool], Told], list[float]]:
        """What was noted since the last time, of all workers together: (kind, id, gone) → what became of it."""
        merged: dict[tuple[str, str, bool], Told] = {}
        samples: list[float] = []
        for noted in _only(Noted, await self._all([Drain()] * self._count)):
            samples += noted.install_ms
            for told in noted.told:
                merge(merged, told)
        return merged, samples

    async def ask(self, questions: Sequence[tuple[str, str, str]]) -> dict[str, int]:
        """Have hosts look addresses up: (host name, network id, address). Returns what became of it, by word."""
        shares = [tuple([each for each in questions if self._of[each[0]] is w]) for w in self._workers]
        found: Counter[str] = Counter()
        for asked in _only(Asked, await self._all([Ask(share) for share in shares])):
            found.update(asked.answers)
        return dict(found)

    async def holds(self, name: str) -> Held:
        """What a host holds on demand."""
        [held] = _only(Held, [await self._of[name].ask(Hold(name))])
        return held

    async def judge(self, expected: Expected) -> Judged:
        """Have a host compared with intent."""
        [judged] = _only(Judged, [await self._of[expected.name].ask(expected)])
        return judged

    async def _all(self, commands: Sequence[Command]) -> list[Answer]:
        return list(
            await asyncio.gather(
                *(worker.ask(command) for worker, command in zip(self._workers, commands, strict=True))
            )
        )


def merge(into: dict[tuple[str, str, bool], Told], told: Told) -> None:
    """Add what one worker noted of an item to what others did."""
    key = (told.kind, told.id, told.gone)
    before = into.get(key)
    if before is None:
        into[key] = told
        return
    firsts = [each for each in (before.first_confirmed_s, told.first_confirmed_s) if each]
    into[key] = Told(
        *key,
        hosts=before.hosts + told.hosts,
        confirmed=before.confirmed + told.confirmed,
        first_s=min(before.first_s, told.first_s),
        last_s=max(before.last_s, told.last_s),
        first_confirmed_s=min(firsts, default=0.0),
        last_confirmed_s=max(before.last_confirmed_s, told.last_confirmed_s),
    )


def _only(kind: type[A], answers: Iterable[Answer | Done]) -> list[A]:
    return [answer for answer in answers if isinstance(answer, kind)]
