"""What a laboratory made, written down before it is made, so that it can be removed after any crash.

Shape: one JSON object a line in `<folder>/ledger.jsonl`. A process is known by its id *and* its start time, so that a
number the kernel gave to somebody else is never signalled.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Literal

import msgspec

Kind = Literal["process", "namespace", "folder", "port", "intent"]
# A process that ignores SIGTERM for this long is killed.
GRACE_S = 5.0


class Entry(msgspec.Struct, frozen=True):
    """One thing made. `name`: a namespace's name, a folder's path, a process's id, a port's database socket and name,
    the description of what was made in a region. `started`: clock ticks.
    """

    kind: Kind
    name: str
    started: int = 0


def start_ticks(pid: int) -> int:
    """When the process began, in clock ticks since boot (field 22 of /proc/pid/stat); 0 if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = stat[stat.rindex(")") + 2 :].split()
    # A zombie has ended; only its parent has not looked yet.
    return 0 if fields[0] == "Z" else int(fields[19])


class Ledger:
    """The record of one laboratory; `sweep` removes all it names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """Where the ledger is."""
        self._path = folder / "ledger.jsonl"
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def add(self, kind: Kind, name: str, started: int = 0) -> None:
        """Record a thing. Namespaces and folders: before making them; a process: right after its start."""
        # A sweep may have removed the folder itself.
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(Entry(kind, name, started)) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def add_process(self, process: subprocess.Popen[bytes]) -> None:
        """Record a child, right after its start."""
        self._children[process.pid] = process
        self.add("process", str(process.pid), start_ticks(process.pid))

    def entries(self) -> list[Entry]:
        """Everything recorded, oldest first; a line cut by a crash is left out."""
        if not self._path.exists():
            return []
        found = []
        for line in self._path.read_bytes().splitlines():
            with contextlib.suppress(msgspec.DecodeError):
                found.append(msgspec.json.decode(line, type=Entry))
        return found

    def sweep(self) -> int:
        """Remove everything recorded, newest first; returns how many things were still there.

        Not what was made in a region, which only a client of it can remove.
        """
        entries = self.entries()
        removed = self._end_processes([e for e in reversed(entries) if e.kind == "process"])
        removed += self.sweep_machines()
        for entry in reversed(entries):
            if entry.kind == "folder" and Path(entry.name).exists():
                shutil.rmtree(entry.name, ignore_errors=True)
                removed += 1
        self._path.unlink(missing_ok=True)
        return removed

    def sweep_machines(self) -> int:
        """Remove namespaces and switch ports, newest first, and keep the record; returns how many namespaces."""
        removed = 0
        for entry in reversed(self.entries()):
            if entry.kind == "namespace" and Path("/run/netns", entry.name).exists():
                subprocess.run(["ip", "netns", "del", entry.name], check=False)
                removed += 1
            elif entry.kind == "port":
                socket, _, port = entry.name.rpartition(" ")
                words = ("ovs-vsctl", f"--db=unix:{socket}", "--timeout=5", "--if-exists", "del-port", port)
                subprocess.run(words, capture_output=True, check=False)
        return removed

    def _end_processes(self, entries: list[Entry]) -> int:
        alive = [entry for entry in entries if start_ticks(int(entry.name)) == entry.started != 0]
        for entry in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(entry.name), signal.SIGTERM)
        deadline = time.monotonic() + GRACE_S
        waiting = alive
        while waiting and time.monotonic() < deadline:
            time.sleep(0.01)
            # Only our own children can be waited for; of others the start time tells.
            for child in self._children.values():
                child.poll()
            waiting = [entry for entry in waiting if start_ticks(int(entry.name)) == entry.started]
        for entry in waiting:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(entry.name), signal.SIGKILL)
        for child in self._children.values():
            child.wait()
        self._children.clear()
        return len(alive)
