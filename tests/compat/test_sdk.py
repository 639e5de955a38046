"""openstacksdk's own networking tests pass against a region behind a real Keystone, on either store."""

from pathlib import Path

import pytest

from tests.compat import sdk_run

pytestmark = pytest.mark.compat


def test_sdk_passes_its_own_tests_of_every_family(tmp_path: Path) -> None:
    """One of every family of its functional tests has no failure and no skip that is not listed."""
    verdict = sdk_run.run(tmp_path, regex=sdk_run.selection(), concurrency=2, complete=False)

    assert verdict.good, verdict.text()


@pytest.mark.long
def test_sdk_passes_its_own_tests(tmp_path: Path) -> None:
    """All of its functional tests have no failure and no unlisted skip, and the list of skips is not out of date."""
    verdict = sdk_run.run(tmp_path, regex=sdk_run.EVERYTHING, concurrency=2, complete=True)

    assert verdict.good, verdict.text()
