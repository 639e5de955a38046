"""A real Open vSwitch of a test's own: ovsdb-server and ovs-vswitchd as children of the test process.

Everything lives in one temporary folder and, if wanted, in a network namespace with a unique name. The daemons run
in the foreground (no `--detach`): what is detached becomes a zombie where process 1 does not reap, and cannot be
waited for. They are killed by pid, and waited for, also after a failed test.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeVar

from alcor.agent.driver import Connected, SwitchEvent, VifsChanged
from alcor.agent.ovs.switch import OvsSwitch
from alcor.lab.host import is_served

_Event = TypeVar("_Event")

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
START_S_MAX = 60.0


async def eventually(predicate: Callable[[], object], what: str, deadline_s: float = 60.0) -> None:
    """Wait until `predicate()` is true; the one allowed wait, for real switches. Raises AssertionError."""
    end = time.monotonic() + deadline_s
    while not predicate():
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:g} s: {what}")
        await asyncio.sleep(0.02)


def _wait_until_served(path: Path, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + START_S_MAX
    while not is_served(path):
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode} and did not serve {path}")
        if time.monotonic() > end:
            raise RuntimeError(f"{path} was not served after {START_S_MAX:g} s")
        time.sleep(0.01)


def run(*words: str, check: bool = True, text: str | None = None) -> str:
    """Run one command and return what it printed; an error names the command and its complaint."""
    done = subprocess.run(words, capture_output=True, text=True, input=text, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


class OvsPair:
    """One ovsdb-server with one ovs-vswitchd. `folder` holds their sockets, database and logs."""

    def __init__(self, *, namespace: str | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="alcor-ovs-"))
        self.namespace = namespace
        self._server: subprocess.Popen[bytes] | None = None
        self._vswitchd: subprocess.Popen[bytes] | None = None

    @property
    def db_socket(self) -> Path:
        """Where ovsdb-server listens."""
        return self.folder / "db.sock"

    @property
    def ctl_socket(self) -> Path:
        """The control socket of ovs-vswitchd."""
        return self.folder / "ovs-vswitchd.ctl"

    def _environment(self) -> dict[str, str]:
        places = ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR")
        return {**os.environ, **dict.fromkeys(places, str(self.folder))}

    def _popen(self, program: str, *words: str) -> "subprocess.Popen[bytes]":
        command = [program, *words, f"--pidfile={self.folder}/{program}.pid", "-vconsole:off"]
        command += [f"--unixctl={self.folder}/{program}.ctl", f"--log-file={self.folder}/{program}.log"]
        if self.namespace:
            command = ["ip", "netns", "exec", self.namespace, *command]
        silent = subprocess.DEVNULL
        return subprocess.Popen(
            command, stdin=silent, stdout=silent, stderr=silent, env=self._environment(), cwd=self.folder
        )

    def start(self) -> None:
        """Start both, on an empty database."""
        run("ovsdb-tool", "create", f"{self.folder}/conf.db", str(SCHEMA))
        self.start_server()
        self.vsctl("--no-wait", "init")
        self.start_vswitchd()

    def start_server(self) -> None:
        """Start ovsdb-server on the database as it is; returns when it listens."""
        self.db_socket.unlink(missing_ok=True)
        self._server = self._popen(
            "ovsdb-server", f"{self.folder}/conf.db", f"--remote=punix:{self.db_socket}"
        )
        _wait_until_served(self.db_socket, self._server)

    def start_vswitchd(self) -> None:
        """Start ovs-vswitchd; returns when its control socket is there."""
        self.ctl_socket.unlink(missing_ok=True)
        self._vswitchd = self._popen("ovs-vswitchd", f"unix:{self.db_socket}")
        _wait_until_served(self.ctl_socket, self._vswitchd)

    def kill_vswitchd(self) -> None:
        """kill -9 ovs-vswitchd and reap it."""
        self._end(self._vswitchd)
        self._vswitchd = None

    def kill_server(self) -> None:
        """kill -9 ovsdb-server and reap it."""
        self._end(self._server)
        self._server = None

    def freeze_vswitchd(self, signal_number: int) -> None:
        """Send SIGSTOP or SIGCONT to ovs-vswitchd."""
        assert self._vswitchd is not None
        self._vswitchd.send_signal(signal_number)

    def _end(self, process: "subprocess.Popen[bytes] | None") -> None:
        if process is not None:
            process.kill()
            process.wait()

    def vsctl(self, *words: str) -> str:
        """Run ovs-vsctl against this database."""
        return run("ovs-vsctl", f"--db=unix:{self.db_socket}", "--timeout=20", *words)

    def ofctl(self, *words: str, text: str | None = None) -> str:
        """Run ovs-ofctl with OpenFlow 1.5, the bridge given as its management socket: `ofctl("dump-flows", "br")`."""
        command, bridge, *others = words
        where = f"unix:{self.folder}/{bridge}.mgmt"
        return run("ovs-ofctl", "-O", "OpenFlow15", "--timeout=60", command, where, *others, text=text)

    def appctl(self, *words: str) -> str:
        """Run ovs-appctl against this ovs-vswitchd."""
        return run("ovs-appctl", "-t", str(self.ctl_socket), "--timeout=20", *words)

    def ip(self, *words: str) -> str:
        """Run ip in this switch's namespace."""
        return run("ip", *(("-n", self.namespace) if self.namespace else ()), *words)

    def stop(self) -> None:
        """Kill both, wait for them and remove the folder."""
        self.kill_vswitchd()
        self.kill_server()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def an_ovs_pair(*, namespace: str | None = None) -> Iterator[OvsPair]:
    """A running pair, taken away at the end whatever happens. Needs root."""
    pair = OvsPair(namespace=namespace)
    try:
        pair.start()
        yield pair
    finally:
        pair.stop()


@contextlib.contextmanager
def a_namespace(prefix: str) -> Iterator[str]:
    """A network namespace with a unique name, its loopback up; deleted at the end."""
    name = f"{prefix}{secrets.token_hex(3)}"
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        run("ip", "netns", "del", name, check=False)


class Heard:
    """What a driver has told, read in the background; each event is taken once, in order."""

    def __init__(self, switch: OvsSwitch) -> None:
        self._switch = switch
        self._events: asyncio.Queue[SwitchEvent] = asyncio.Queue()
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for event in self._switch.events():
            self._events.put_nowait(event)

    async def next(self, deadline_s: float = 60.0) -> SwitchEvent:
        """The next event. Raises: TimeoutError."""
        async with asyncio.timeout(deadline_s):
            return await self._events.get()

    async def until(self, kind: type[_Event], deadline_s: float = 60.0) -> _Event:
        """Skip to the next event of one kind. Raises: TimeoutError."""
        async with asyncio.timeout(deadline_s):
            while not isinstance(event := await self._events.get(), kind):
                pass
            return event

    def nothing(self) -> bool:
        """Whether all that was told has been taken."""
        return self._events.empty()

    async def stop(self) -> None:
        """Close the driver; its events end."""
        await self._switch.close()
        await self._task


@contextlib.asynccontextmanager
async def a_driver(pair: OvsPair, *, bridge: str | None = None) -> AsyncIterator[tuple[OvsSwitch, Heard]]:
    """A driver on a bridge (of its own, unless named) of a running pair, not yet connected."""
    switch = OvsSwitch(
        pair.db_socket, pair.folder, bridge=bridge or f"br{secrets.token_hex(4)}", datapath_type="netdev"
    )
    heard = Heard(switch)
    try:
        yield switch, heard
    finally:
        await heard.stop()


@contextlib.asynccontextmanager
async def a_connected_driver(
    pair: OvsPair, *, bridge: str | None = None
) -> AsyncIterator[tuple[OvsSwitch, Heard]]:
    """The same, when `Connected` and the first `VifsChanged` have been heard."""
    async with a_driver(pair, bridge=bridge) as (switch, heard):
        await heard.until(Connected)
        await heard.until(VifsChanged)
        yield switch, heard
