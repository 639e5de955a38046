"""An outside suite's verdict cannot be better than what happened, nor its list of skips older than the suite."""

import subprocess
from pathlib import Path

import pytest

from tests.compat.environment import program
from tests.compat.verdict import Entry, Outcome, judge, read_list, read_outcomes

pytestmark = pytest.mark.compat

RAN = Outcome("suite.Networks.test_create", "passed")
SKIPPED = Outcome("suite.Agents.test_list", "skipped", "no agents")
FAILED = Outcome("suite.Ports.test_show", "failed", "Traceback\nAssertionError: 1 != 2\n")


def test_a_listed_skip_is_good() -> None:
    """A run is good when all that ran passed and every skip is listed, by test or by class."""
    allowed = [Entry("suite.Agents", "there are none")]

    verdict = judge([RAN, SKIPPED], allowed, complete=True)

    assert verdict.good
    assert verdict.text() == "1 passed, 0 failed, 1 skipped, 0 broken in themselves"


def test_a_failure_an_unlisted_skip_and_an_empty_run_are_bad() -> None:
    """Each of them alone makes a run bad, and the text names the test and the reason."""
    failed = judge([RAN, FAILED], [], complete=True)
    unlisted = judge(
        [RAN, SKIPPED], [Entry("suite.Agent", "a prefix of a name is not its class")], complete=False
    )
    empty = judge([], [], complete=False)

    assert (failed.good, unlisted.good, empty.good) == (False, False, False)
    assert "failed: suite.Ports.test_show: AssertionError: 1 != 2" in failed.text()
    assert "skipped but not listed: suite.Agents.test_list: no agents" in unlisted.text()


def test_the_list_cannot_rot() -> None:
    """A listed test that ran is bad; one that no longer exists is bad when the whole suite ran."""
    ran = judge([RAN], [Entry("suite.Networks.test_create", "once")], complete=False)
    gone = Entry("suite.Gone", "renamed")

    assert ran.stale == ["it passed: suite.Networks.test_create"]
    assert judge([RAN], [gone], complete=True).stale == ["there is no such test: suite.Gone"]
    assert judge([RAN], [gone], complete=False).good


def test_a_broken_test_must_break_as_foreseen() -> None:
    """A listed broken test is no failure as long as it says what is foreseen; if it passes or says else, it is bad."""
    entry = Entry("suite.Ports.test_show", "it compares wrongly", says="1 != 2")
    other = Outcome("suite.Ports.test_show", "failed", "AssertionError: 500")
    repaired = Outcome("suite.Ports.test_show", "passed")

    foreseen = judge([RAN, FAILED], [entry], complete=True)

    assert foreseen.good
    assert foreseen.broken == [FAILED]
    assert judge([RAN, other], [entry], complete=True).failed == [other]
    assert judge([RAN, repaired], [entry], complete=True).stale == ["it passed: suite.Ports.test_show"]


def test_lists_of_skips_name_each_test_once_with_a_reason() -> None:
    """The lists of this repository can be read, and no entry is empty or written twice."""
    for path in Path(__file__).parent.glob("*_skips.toml"):
        entries = read_list(path)

        assert all(entry.reason for entry in entries)
        assert len({entry.test for entry in entries}) == len(entries)


SUITE = """\
import unittest

class Suite(unittest.TestCase):
    def test_good(self):
        pass
    def test_bad(self):
        self.fail("on purpose")
    @unittest.skip("not today")
    def test_skipped(self):
        pass
    def test_dies(self):
        import os
        os._exit(3)
"""


def test_a_stream_is_read_to_its_end_and_beyond(tmp_path: Path) -> None:
    """Passed, failed and skipped tests keep their reason; a test whose process died has failed, not vanished."""
    (tmp_path / "suite.py").write_text(SUITE)
    stream = tmp_path / "stream"
    with stream.open("wb") as output:
        for test in ("test_good", "test_bad", "test_skipped", "test_dies"):
            command: list[str | Path] = [
                program("tempest", "python"),
                "-m",
                "stestr.subunit_runner.run",
                f"suite.Suite.{test}",
            ]
            subprocess.run(command, cwd=tmp_path, stdout=output, check=False)

    found = {outcome.test: outcome for outcome in read_outcomes("tempest", stream)}

    assert {name.rsplit(".")[-1]: outcome.status for name, outcome in found.items()} == {
        "test_good": "passed",
        "test_bad": "failed",
        "test_skipped": "skipped",
        "test_dies": "failed",
    }
    assert "on purpose" in found["suite.Suite.test_bad"].reason
    assert found["suite.Suite.test_skipped"].reason == "not today"
