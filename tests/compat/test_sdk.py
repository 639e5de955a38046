"""openstacksdk's own networking tests pass against a region behind a real Keystone, on either store."""

from pathlib import Path

import pytest

from tests.compat import sdk_run
from tests.compat.command_line import Store

pytestmark = [pytest.mark.compat, pytest.mark.parametrize("store", ["sqlite", "postgres"])]


def test_sdk_passes_its_own_tests_of_every_family(tmp_path: Path, store: Store) -> None:
    """One of every family of its functional tests has no failure and no skip that is not listed."""
    verdict = sdk_run.run(tmp_path, regex=sdk_run.selection(), store=store)

    assert verdict.good, verdict.text()


@pytest.mark.long
def test_sdk_passes_its_own_tests(tmp_path: Path, store: Store) -> None:
    """All of its functional tests have no failure and no unlisted skip, and the list of skips is not out of date."""
    verdict = sdk_run.run(tmp_path, regex=sdk_run.EVERYTHING, store=store, complete=True)

    assert verdict.good, verdict.text()
