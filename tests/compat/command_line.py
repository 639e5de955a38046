"""The command line that the runners of outside suites have in common."""

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from tests.compat.verdict import Verdict

Store = Literal["sqlite", "postgres"]


class Run(Protocol):
    """Start a cloud in a folder, run what the regular expression chooses, judge it."""

    def __call__(
        self, folder: Path, *, regex: str, store: Store, concurrency: int = 2, complete: bool = False
    ) -> Verdict:
        """complete: the expression chooses the whole suite."""


def settings_of(store: Store) -> dict[str, dict[str, Any]]:
    """Sections of the region's configuration; on PostgreSQL with a fresh database of this process's own server."""
    if store == "sqlite":
        return {}
    from tests.support.postgres import server

    database = asyncio.run(server().fresh())
    # Two such regions may run at a time: neither takes the port that is the default for ncms.
    return {"store": {"url": server().dsn(database)}, "bus": {"listen": ["127.0.0.1:0"]}}


def command_line(words: Sequence[str], about: str, everything: str, selection: str, run: Run) -> int:
    """Read the words, run, print the verdict; the exit status says whether it is good."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--long", action="store_true", help="the whole suite, not the selection")
    chosen.add_argument("--regex", help="tests to run instead")
    parser.add_argument("--postgres", action="store_true", help="the region keeps its state in PostgreSQL")
    parser.add_argument("--concurrency", type=int, default=2, help="test processes (default 2)")
    parser.add_argument(
        "--folder", type=Path, help="an empty folder to keep logs in (default: a temporary one)"
    )
    parser.add_argument("--verdict", type=Path, help="write the verdict as JSON to this file")
    given = parser.parse_args(words)
    regex = everything if given.long else given.regex or selection
    with tempfile.TemporaryDirectory(prefix="alcor-compat-") as temporary:
        folder = given.folder or Path(temporary)
        verdict = run(
            folder,
            regex=regex,
            store="postgres" if given.postgres else "sqlite",
            concurrency=given.concurrency,
            complete=given.long,
        )
    if given.verdict:
        given.verdict.write_bytes(msgspec.json.format(msgspec.json.encode(verdict)))
    print(verdict.text())
    return 0 if verdict.good else 1
