"""One process per database file: SQLite would let two in, and the second would not see the first one's head."""

import fcntl
import os
from pathlib import Path

from alcor.model.errors import Unavailable


class StoreLocked(Unavailable):
    """Another process (`pid`, 0 if it did not say) holds the database in `folder`."""

    def __init__(self, path: Path, pid: int) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"{path} is held by {holder}: an SQLite store serves one process at a time. Stop that process, or give "
            "this one a data folder of its own; roles in separate processes need PostgreSQL."
        )
        self.path, self.pid = path, pid


class FolderLock:
    """An exclusive lock on a file, let go by the kernel however the process ends."""

    def __init__(self, path: Path) -> None:
        """Take the lock and write our pid into the file. Raises: StoreLocked."""
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.pread(self._descriptor, 20, 0).strip()
            os.close(self._descriptor)
            raise StoreLocked(path, int(pid) if pid.isdigit() else 0) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next one in. The file stays: removing it would let two processes lock two different files."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1
