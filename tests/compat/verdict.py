"""What an outside suite said, held against a list of its tests that may be skipped or cannot pass.

The list is TOML. `[[skip]]`: `test` (an id without its attributes in brackets, or a whole class) and `reason` (ours:
why Alcor does not answer this test). `[[broken]]`: a test of theirs that passes against nobody, with `says`, a part of
what it must fail with. The list cannot rot: a skip that is not listed makes the verdict bad, and so does a listed
test that ran, or a broken one that passed or failed in another way.
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


class Entry(Struct, frozen=True):
    """A test, or a class of tests, that may be skipped; or, with `says`, that cannot pass against anybody."""

    test: str
    reason: str
    says: str = ""

    def covers(self, outcome: Outcome) -> bool:
        """Whether a test is this one or inside it."""
        return outcome.test == self.test or outcome.test.startswith(f"{self.test}.")

    def allows(self, outcome: Outcome) -> bool:
        """Whether this is what the entry foresees of its test."""
        foreseen = (
            outcome.status == "failed" and self.says in outcome.reason
            if self.says
            else outcome.status == "skipped"
        )
        return foreseen and self.covers(outcome)


class Verdict(Struct, frozen=True):
    """The comparison: `broken` are failures that were foreseen, `failed` and `unlisted` those that were not.

    stale: entries of the list that are not what happened, in words.
    """

    passed: list[str]
    failed: list[Outcome]
    skipped: list[Outcome]
    broken: list[Outcome]
    unlisted: list[Outcome]
    stale: list[str]

    @property
    def good(self) -> bool:
        """Whether the suite may be called passed. A suite that ran nothing has not passed."""
        return bool(self.passed) and not (self.failed or self.unlisted or self.stale)

    def text(self) -> str:
        """The verdict for a person: counts, then a line for each thing that is wrong."""
        counts = f"{len(self.passed)} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"
        lines = [f"{counts}, {len(self.broken)} broken in themselves"]
        lines += [f"failed: {outcome.test}: {last_line(outcome.reason)}" for outcome in self.failed]
        lines += [f"skipped but not listed: {outcome.test}: {outcome.reason}" for outcome in self.unlisted]
        lines += [f"listed, but {stale}" for stale in self.stale]
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


def read_list(path: Path) -> list[Entry]:
    """Read a list of tests. Raises: KeyError if an entry lacks its name, its reason or what it says."""
    content = tomllib.loads(path.read_text())
    skipped = [Entry(entry["test"], entry["reason"]) for entry in content.get("skip", [])]
    return skipped + [Entry(e["test"], e["reason"], e["says"]) for e in content.get("broken", [])]


def judge(outcomes: Iterable[Outcome], entries: Sequence[Entry], *, complete: bool) -> Verdict:
    """Compare a run with the list.

    complete: the whole suite ran, so that an entry no test answers to is wrong too; in a selection it only
    means that its tests were not chosen.
    """
    found = list(outcomes)
    passed = [outcome.test for outcome in found if outcome.status == "passed"]
    skipped = [outcome for outcome in found if outcome.status == "skipped"]
    failed = [outcome for outcome in found if outcome.status == "failed"]
    unforeseen = [o for o in (*skipped, *failed) if not any(entry.allows(o) for entry in entries)]
    stale = []
    for entry in entries:
        covered = [outcome for outcome in found if entry.covers(outcome)]
        stale += [f"it passed: {outcome.test}" for outcome in covered if outcome.status == "passed"]
        if complete and not covered:
            stale.append(f"there is no such test: {entry.test}")
    return Verdict(
        passed=passed,
        failed=[outcome for outcome in failed if outcome in unforeseen],
        skipped=skipped,
        broken=[outcome for outcome in failed if outcome not in unforeseen],
        unlisted=[outcome for outcome in skipped if outcome in unforeseen],
        stale=stale,
    )
