"""Tempest's own networking tests pass against a region behind a real Keystone, on either store."""

from pathlib import Path

import pytest

from tests.compat import tempest_run

pytestmark = pytest.mark.compat


def test_tempest_passes_one_class_of_every_family(tmp_path: Path) -> None:
    """The selection of Tempest's networking tests has no failure and no skip that is not listed."""
    verdict = tempest_run.run(tmp_path, regex=tempest_run.selection(), concurrency=2, complete=False)

    assert verdict.good, verdict.text()


@pytest.mark.long
def test_tempest_passes(tmp_path: Path) -> None:
    """All of tempest.api.network has no failure, no unlisted skip, and the list of skips is not out of date."""
    verdict = tempest_run.run(tmp_path, regex=tempest_run.EVERYTHING, concurrency=2, complete=True)

    assert verdict.good, verdict.text()
