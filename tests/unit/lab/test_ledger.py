"""The ledger removes what a laboratory made, and nothing else."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alcor.lab.ledger import Ledger, start_ticks


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for its input to end."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_a_recorded_process_is_ended(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """What was recorded with its start time is ended by the next run's sweep, and the record is gone."""
    Ledger(tmp_path).add("process", str(sleeper.pid), start_ticks(sleeper.pid))

    assert Ledger(tmp_path).sweep() == 1

    assert start_ticks(sleeper.pid) == 0
    assert Ledger(tmp_path).entries() == []


def test_a_process_that_got_an_old_number_is_left_alone(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    """A process id with another start time belongs to somebody else."""
    ledger = Ledger(tmp_path)
    ledger.add("process", str(sleeper.pid), start_ticks(sleeper.pid) - 1)

    assert ledger.sweep() == 0

    assert sleeper.poll() is None


def test_a_line_cut_by_a_crash_is_no_obstacle(tmp_path: Path) -> None:
    """The last line may be half written; what stands before it is still removed."""
    folder = tmp_path / "made"
    folder.mkdir()
    ledger = Ledger(tmp_path)
    ledger.add("folder", str(folder))
    with (tmp_path / "ledger.jsonl").open("ab") as file:
        file.write(b'{"kind":"proc')

    assert ledger.sweep() == 1

    assert not folder.exists()


def test_it_goes_on_after_it_has_swept_its_own_folder(tmp_path: Path) -> None:
    """A run that removed what a crashed one left, the ledger's folder among it, records its own things."""
    folder = tmp_path / "site"
    Ledger(folder).add("folder", str(folder))

    ledger = Ledger(folder)
    assert ledger.sweep() == 1
    ledger.add("folder", str(folder))

    assert [entry.name for entry in ledger.entries()] == [str(folder)]
