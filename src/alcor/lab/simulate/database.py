"""A PostgreSQL of a simulation's own, from the distribution's binaries, with full durability, ended with its folder."""

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

from alcor.lab.command import LabError, run, start, tail, wait_until
from alcor.lab.ledger import Ledger

_USER, _DATABASE = "alcor", "region"
_START_S = 30.0
# Enough for a handful of processes' pools; memory for a million rows to be found without the disk.
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "300",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
}


class Database:
    """A server on a Unix socket in `folder`. As root it runs as the user `postgres`, who must reach that folder."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self._folder, self._ledger = folder, ledger
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the region's database is."""
        return f"postgresql://{_USER}@/{_DATABASE}?host={self._folder}"

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Make and start it. Raises: LabError with the reason."""
        binaries = _binaries()
        self._folder.mkdir(parents=True)
        switch = self._switch_user()
        data, log = self._folder / "data", self._folder.parent / "postgres.log"
        words = ("-U", _USER, "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync")
        run(*switch, str(binaries / "initdb"), "-D", str(data), *words, deadline_s=_START_S)
        chosen = _SETTINGS | {"unix_socket_directories": str(self._folder)}
        options = [word for name, value in chosen.items() for word in ("-c", f"{name}={value}")]
        self._process = start(
            self._ledger, *switch, str(binaries / "postgres"), "-D", str(data), *options, log=log
        )
        ask = (str(binaries / "pg_isready"), "-q", "-h", str(self._folder))
        wait_until(
            "PostgreSQL",
            lambda: self._has_ended() or subprocess.run(ask, check=False).returncode == 0,
            deadline_s=_START_S,
        )
        if self._has_ended():
            raise LabError(f"PostgreSQL did not start:\n{tail(log)}")
        make = ("-h", str(self._folder), "-U", _USER, "-T", "template0", _DATABASE)
        run(str(binaries / "createdb"), *make)

    def stop(self) -> None:
        """End it at once: nobody needs its data any more."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _has_ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None

    def _switch_user(self) -> tuple[str, ...]:
        """PostgreSQL does not run as root."""
        if os.geteuid() != 0:
            return ()
        try:
            user = pwd.getpwnam("postgres")
        except KeyError as error:
            raise LabError("there is no user 'postgres': install PostgreSQL (bin/setup dev)") from error
        os.chown(self._folder, user.pw_uid, user.pw_gid)
        return (
            "setpriv",
            f"--reuid={user.pw_uid}",
            f"--regid={user.pw_gid}",
            "--clear-groups",
            "--pdeathsig=QUIT",
        )


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise LabError(
            "PostgreSQL is not installed: apt-get install postgresql, name one with --database postgresql://…, or "
            "use --database sqlite"
        )
    return found[-1].parent
