"""Running programs for the laboratory: short ones to their end, long ones as recorded children."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from alcor.lab.ledger import Ledger


class LabError(Exception):
    """A step of the laboratory failed; the text names the command and what it said."""


def run(*command: str, env: Mapping[str, str] | None = None, deadline_s: float = 30) -> str:
    """Run a program to its end and return its output. Raises: LabError with what it printed."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=deadline_s,
            env={**os.environ, **env} if env else None,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(
            f"{command[0]} is not installed; bin/setup installs what the laboratory needs"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(command)}: no end after {deadline_s:.0f} s") from error
    if done.returncode != 0:
        raise LabError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def ip_batch(lines: Sequence[str], namespace: str = "") -> None:
    """Run several `ip` commands in one process, in a namespace. Raises: LabError naming the failing line."""
    command = ["ip", *(["-n", namespace] if namespace else []), "-batch", "-"]
    done = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"ip -n '{namespace}' {lines}: {done.stderr.strip()}")


def start(
    ledger: Ledger,
    *command: str,
    log: Path,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a long-running program, its output in `log`, and record it."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **env} if env else None,
            # Its own session: a Ctrl-C at the terminal reaches the laboratory, which ends its parts in order.
            start_new_session=True,
        )
    ledger.add_process(process)
    return process


def wait_until(
    what: str, ready: Callable[[], bool], *, deadline_s: float = 60, every_s: float = 0.02
) -> None:
    """Wait for an outside thing. Raises: LabError naming `what` after `deadline_s`."""
    deadline = time.monotonic() + deadline_s
    while not ready():
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not there after {deadline_s:.0f} s")
        time.sleep(every_s)


def tail(log: Path, lines: int = 12) -> str:
    """The end of a log, for an error message."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
