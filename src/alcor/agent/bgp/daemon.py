"""One bgpd: started with what it is to say, told what changes, started again if it ends."""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from alcor.agent.bgp.config import Speech, lines, rendered
from alcor.agent.bgp.vty import Vty, VtyError, vty
from alcor.telemetry.log import get_log

log = get_log("bgp")

PROGRAM = Path("/usr/lib/frr/bgpd")
USER = "frr"
START_S = 5.0
"""How long a bgpd may take until it answers."""
AGAIN_S_BASE, AGAIN_S_MAX = 0.5, 60.0
"""How soon one that ended is started again: doubled with each end that comes within the longest of these."""
_FAREWELL_S = 0.5
_LOOK_S = 0.02


class BgpError(Exception):
    """bgpd could not be brought to what it is to say; the text says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bgpd keeps its files: `folder`, its own; and the program."""

    folder: Path
    program: Path = PROGRAM

    @property
    def socket(self) -> Path:
        """Where it is asked."""
        return self.folder / "bgpd.vty"

    @property
    def pid_file(self) -> Path:
        """Where it writes its process id."""
        return self.folder / "bgpd.pid"


class Daemon:
    """The bgpd of one autonomous system."""

    def __init__(self, place: Place, monotonic_s: Callable[[], float]) -> None:
        self._place, self._monotonic_s = place, monotonic_s
        self._process: asyncio.subprocess.Process | None = None
        self._said: Speech | None = None
        self._started_s = 0.0
        self._pause_s = 0.0
        self.starts = 0
        """How often it was started."""

    @property
    def runs(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.returncode is None

    async def bring(self, speech: Speech) -> None:
        """Make it say this: started if it does not run and may be, else told the difference.

        Raises: BgpError if it does not start, or refuses; then it is stopped, and the next call that may starts it.
        """
        if not self.runs:
            await self._start(speech)
        elif self._said is None or speech != self._said:
            try:
                async with vty(self._place.socket) as talk:
                    await talk.configure(lines(self._said, speech))
            except VtyError as error:
                await self.kill()
                raise BgpError(str(error)) from error
            self._said = speech

    async def _start(self, speech: Speech) -> None:
        now = self._monotonic_s()
        if now < self._started_s + self._pause_s:
            raise BgpError("bgpd ended and is started again soon")
        was_long = now > self._started_s + AGAIN_S_MAX
        self._pause_s = AGAIN_S_BASE if was_long else min(AGAIN_S_MAX, 2 * self._pause_s or AGAIN_S_BASE)
        self._started_s = now
        self._said = None
        _kill(self._place)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *_prepared(self._place, speech),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            self.starts += 1
            await self._answers()
        except (OSError, VtyError) as error:
            await self.kill()
            raise BgpError(f"bgpd does not start: {error}; see {self._place.folder}/bgpd.log") from error
        self._said = speech
        log.info("bgpd_started", local_as=speech.local_as, peers=sorted(speech.peers))

    async def _answers(self) -> None:
        deadline = self._monotonic_s() + START_S
        while True:
            try:
                async with vty(self._place.socket):
                    return
            except VtyError:
                if not self.runs or self._monotonic_s() > deadline:
                    raise
            await asyncio.sleep(_LOOK_S)

    async def silent_peers(self) -> dict[str, str]:
        """Peers without a session → the state of it, as bgpd names it. Empty if it does not run or answer."""
        if not self.runs:
            return {}
        try:
            async with vty(self._place.socket) as talk:
                states = await _states(talk)
        except VtyError:
            return {}
        return {ip: state for ip, state in states.items() if state != "Established"}

    async def kill(self) -> None:
        """End it at once: peers take that for a restart and keep its routes for a while."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def retire(self) -> None:
        """End it for good: peers forget its routes first."""
        await dismiss(self._place)
        await self.kill()
        shutil.rmtree(self._place.folder, ignore_errors=True)


async def dismiss(place: Place) -> None:
    """End the bgpd of this folder for good, whoever started it: it takes leave of its peers."""
    if _pid(place) is None:
        return
    with contextlib.suppress(VtyError):
        async with vty(place.socket) as talk:
            running = await talk.ask("show running-config")
            own = next((line for line in running.splitlines() if line.startswith("router bgp ")), None)
            if own is not None:
                peers = await _states(talk)
                await talk.configure((own, *(f"no neighbor {ip}" for ip in peers), "exit"))
                await asyncio.sleep(_FAREWELL_S if peers else 0)
    _kill(place)


def _kill(place: Place) -> None:
    """End it at once. An agent that was killed leaves its bgpd behind, which goes on saying what it said."""
    pid = _pid(place)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def _states(talk: Vty) -> dict[str, str]:
    said = orjson.loads(await talk.ask("show bgp neighbors json"))
    return {
        ip: str(one["bgpState"]) for ip, one in said.items() if isinstance(one, dict) and "bgpState" in one
    }


def _pid(place: Place) -> int | None:
    """The process that has this folder's process id, if it is a bgpd of this folder."""
    try:
        pid = int(place.pid_file.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if str(place.pid_file).encode() in command else None


def _prepared(place: Place, speech: Speech) -> list[str]:
    """Write the configuration, which only bgpd may read; returns the command. Raises: OSError."""
    place.folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    place.folder.chmod(0o700)
    place.socket.unlink(missing_ok=True)
    file = place.folder / "bgpd.conf"
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(rendered(speech))
    command = [str(place.program), "-Z", "-p", "0", "-P", "0", "-f", str(file), "-i", str(place.pid_file)]
    command += ["--vty_socket", str(place.folder), "--log", f"file:{place.folder}/bgpd.log"]
    command += ["--log-level", "warnings"]
    account = _account()
    if account is None:
        return [*command, "-S"]
    # What the outside says is read without root's rights.
    for path in (place.folder, file):
        os.chown(path, account.pw_uid, account.pw_gid)
    return [*command, "-u", USER, "-g", USER]


def _account() -> pwd.struct_passwd | None:
    """FRR's own account, if we may become it."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        return None
