"""The `openstack` client, unmodified, kept warm, and the steps a table of commands is made of.

Starting the client costs more than a second, most of it imports; a process imports once and then runs one command
after the other.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

# One request a line: the words. One answer a line: exit status and what was printed on both streams.
SERVE = """\
import contextlib, io, json, logging, sys, warnings
warnings.simplefilter("ignore")
from openstackclient.shell import OpenStackShell
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = OpenStackShell().run(json.loads(line))
        except SystemExit as end:
            status = end.code
    logging.getLogger().handlers.clear()
    print(json.dumps([status or 0, out.getvalue(), err.getvalue()]), flush=True)
"""


class Step(Struct, frozen=True, kw_only=True):
    """One command and what it must say.

    words:    the command line; `{name}` stands for what an earlier step kept.
    who:      the cloud of clouds.yaml it is run as.
    shows:    columns of one resource and their values; a function decides for itself.
    rows:     columns of a list and all of their values, in any order.
    includes: columns of a list and some of their values.
    lacks:    columns of a list and values that must not be there.
    keeps:    what later steps call a column of the shown resource, or of a list's first row.
    fails:    a part of the message; the command must fail.
    """

    words: str
    who: str = "devstack-admin"
    shows: Mapping[str, Any] = {}
    rows: Mapping[str, Sequence[Any]] = {}
    includes: Mapping[str, Sequence[Any]] = {}
    lacks: Mapping[str, Sequence[Any]] = {}
    keeps: Mapping[str, str] = {}
    fails: str = ""

    @property
    def asks(self) -> bool:
        """Whether there is anything to read."""
        return bool(self.shows or self.rows or self.includes or self.lacks or self.keeps)


class OpenStackShell:
    """The client as the people of a clouds.yaml; `close` ends its processes.

    Every person has a process: the client keeps its connection for the life of a process, as in its interactive mode.
    """

    def __init__(self, clouds: Path) -> None:
        self._clouds = clouds
        self._processes: dict[str, subprocess.Popen[str]] = {}

    def run(self, who: str, *words: str) -> tuple[int, str, str]:
        """Run one command as a person: its exit status, what it printed, what it complained about."""
        process = self._processes.get(who) or self._start(who)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(["--os-cloud", who, *words]) + "\n")
        process.stdin.flush()
        status, out, err = json.loads(process.stdout.readline())
        return status, out, err

    def _start(self, who: str) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        self._processes[who] = subprocess.Popen(
            [sys.executable, "-c", SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=kept | {"OS_CLIENT_CONFIG_FILE": str(self._clouds)},
        )
        return self._processes[who]

    def take(self, step: Step, kept: dict[str, Any]) -> None:
        """Run a step and hold its answer against what it must say; keep what later steps need."""
        words = shlex.split(fill(step.words, kept))
        status, out, err = self.run(step.who, *words, *(("-f", "json") if step.asks else ()))
        command = "openstack " + shlex.join(words)
        if step.fails:
            assert status != 0, f"{command} succeeded"
            assert fill(step.fails, kept) in err, f"{command}: {err}"
            return
        assert status == 0, f"{command}: {err}"
        if step.asks:
            check(command, step, json.loads(out), kept)

    def close(self) -> None:
        """End the processes: their input ends."""
        for process in self._processes.values():
            process.communicate()


def check(command: str, step: Step, found: Any, kept: dict[str, Any]) -> None:
    """Hold what a command printed against its step."""
    for column, wanted in step.shows.items():
        assert column in found, f"{command}: no {column} in {sorted(found)}"
        if isinstance(wanted, Callable):  # type: ignore[arg-type]  # the class of functions
            assert wanted(found[column]), f"{command}: {column} is {found[column]!r}"
        else:
            assert found[column] == fill(wanted, kept), f"{command}: {column} is {found[column]!r}"
    for column, all_values in step.rows.items():
        there = sorted((row[column] for row in found), key=str)
        assert there == sorted(fill(all_values, kept), key=str), f"{command}: {column} is {there}"
    for column, some_values in step.includes.items():
        there = [row[column] for row in found]
        for value in fill(some_values, kept):
            assert value in there, f"{command}: {column} is {there}, without {value!r}"
    for column, strange_values in step.lacks.items():
        there = [row[column] for row in found]
        for value in fill(strange_values, kept):
            assert value not in there, f"{command}: {column} is {there}, with {value!r}"
    shown = found[0] if isinstance(found, list) and found else found
    kept.update({name: shown[column] for name, column in step.keeps.items()})


def fill(value: Any, kept: Mapping[str, Any]) -> Any:
    """Replace `{name}` in texts, at any depth, by what was kept under that name."""
    if isinstance(value, str):
        return value.format_map(kept)
    if isinstance(value, list | tuple):
        return [fill(each, kept) for each in value]
    if isinstance(value, Mapping):
        return {key: fill(each, kept) for key, each in value.items()}
    return value
