"""What an outside suite said, held against the list of tests that may be skipped.

The list is TOML: `[[skip]]` tables with `test` (an id without its attributes in brackets, or a whole class) and
`reason` (ours: why Alcor does not answer this test). It cannot rot: a skip that is not listed fails the run, and
so does a listed test that ran.
"""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from alcor.lab.command import LabError, tail
from tests.compat.environment import Part, program

READER = Path(__file__).with_name("subunit_reader.py")
# Attributes ("[id-…,smoke]") are not part of a test's name.
ATTRIBUTES = re.compile(r"\[[^\]]*\]$")
# How a suite names what happens around a whole class.
AROUND_CLASS = re.compile(r"^(?:setUpClass|tearDownClass) \((?P<name>[\w.]+)\)$")


class Outcome(Struct, frozen=True):
    """One test of an outside suite. `log`: what it did, as the suite recorded it (requests and answers)."""

    test: str
    status: Literal["passed", "failed", "skipped"]
    reason: str = ""
    log: str = ""


class Allowed(Struct, frozen=True):
    """A test, or a class of tests, that may be skipped."""

    test: str
    reason: str

    def covers(self, test: str) -> bool:
        """Whether a test's id is this one or inside it."""
        return test == self.test or test.startswith(f"{self.test}.")


class Verdict(Struct, frozen=True):
    """The comparison. Good when nothing failed, no skip is unlisted and no listed test ran or is unknown."""

    passed: list[str]
    failed: list[Outcome]
    skipped: list[Outcome]
    unlisted: list[Outcome]
    stale: list[str]

    @property
    def good(self) -> bool:
        """Whether the suite may be called passed. A suite that ran nothing has not passed."""
        return bool(self.passed) and not (self.failed or self.unlisted or self.stale)

    def text(self) -> str:
        """The verdict for a person: counts, then a line for each thing that is wrong."""
        lines = [f"{len(self.passed)} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"]
        lines += [f"failed: {outcome.test}: {last_line(outcome.reason)}" for outcome in self.failed]
        lines += [f"skipped but not listed: {outcome.test}: {outcome.reason}" for outcome in self.unlisted]
        lines += [f"listed as skipped but {stale}" for stale in self.stale]
        return "\n".join(lines)


def last_line(text: str) -> str:
    """The last line with anything in it: of a traceback, the exception."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def read_outcomes(part: Part, stream: Path) -> list[Outcome]:
    """Read a subunit stream with the suite's own libraries.

    Raises: LabError with what the suite printed instead if it ran nothing; CalledProcessError.
    """
    with stream.open("rb") as source:
        done = subprocess.run(
            [program(part, "python"), READER], stdin=source, capture_output=True, text=True, check=True
        )
    found = [_outcome(json.loads(line)) for line in done.stdout.splitlines()]
    outcomes = [outcome for outcome in found if outcome is not None]
    if not outcomes:
        raise LabError(f"no test ran:\n{tail(stream, lines=40)}")
    return outcomes


def _outcome(line: dict[str, Any]) -> Outcome | None:
    name = ATTRIBUTES.sub("", line["test"])
    around = AROUND_CLASS.match(name)
    name = around["name"] if around else name
    details: dict[str, str] = line["details"]
    match line["status"]:
        case "success" | "xfail":
            # That a class was set up is no test.
            return None if around else Outcome(name, "passed")
        case "skip":
            return Outcome(name, "skipped", details.get("reason", "").strip())
        case _:
            # Failed, unexpectedly succeeded, or never ended.
            reason = "\n".join(text for key, text in details.items() if "traceback" in key)
            log = "\n".join(text for key, text in details.items() if "traceback" not in key)
            return Outcome(name, "failed", reason or line["status"], log)


def read_allowed(path: Path) -> list[Allowed]:
    """Read a list of tests that may be skipped. Raises: KeyError if an entry lacks its name or its reason."""
    return [
        Allowed(entry["test"], entry["reason"]) for entry in tomllib.loads(path.read_text()).get("skip", [])
    ]


def judge(outcomes: Iterable[Outcome], allowed: Sequence[Allowed], *, complete: bool) -> Verdict:
    """Compare a run with the list.

    complete: the whole suite ran, so that an entry no test answers to is wrong too; in a selection it only
    means that its tests were not chosen.
    """
    passed, failed, skipped = [], [], []
    for outcome in outcomes:
        match outcome.status:
            case "passed":
                passed.append(outcome.test)
            case "failed":
                failed.append(outcome)
            case "skipped":
                skipped.append(outcome)
    unlisted = [o for o in skipped if not any(entry.covers(o.test) for entry in allowed)]
    stale = []
    for entry in allowed:
        ran = [test for test in passed if entry.covers(test)]
        if ran:
            stale.append(f"it ran: {entry.test}")
        elif complete and not any(entry.covers(o.test) for o in [*skipped, *failed]):
            stale.append(f"there is no such test: {entry.test}")
    return Verdict(passed, failed, skipped, unlisted, stale)
