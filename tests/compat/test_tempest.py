"""Tempest's own networking tests pass against a region behind a real Keystone, on either store."""

from pathlib import Path

import pytest

from tests.compat import tempest_run
from tests.compat.command_line import Store

pytestmark = [pytest.mark.compat, pytest.mark.parametrize("store", ["sqlite", "postgres"])]


def test_tempest_passes_one_class_of_every_family(tmp_path: Path, store: Store) -> None:
    """The selection of Tempest's networking tests has no failure and no skip that is not listed."""
    verdict = tempest_run.run(tmp_path, regex=tempest_run.selection(), store=store)

    assert verdict.good, verdict.text()


@pytest.mark.long
def test_tempest_passes(tmp_path: Path, store: Store) -> None:
    """All of tempest.api.network has no failure, no unlisted skip, and the list of skips is not out of date."""
    verdict = tempest_run.run(tmp_path, regex=tempest_run.EVERYTHING, store=store, complete=True)

    assert verdict.good, verdict.text()
