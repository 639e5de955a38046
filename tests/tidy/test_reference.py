"""The reference pages say what the code says."""

from pathlib import Path

import pytest

from alcor.cli.reference import FOLDER, pages


@pytest.mark.parametrize("name", sorted(pages()))
def test_page_is_fresh(name: str) -> None:
    """Every generated page equals what its declarations give; `bin/docs` makes it again."""
    assert Path(FOLDER, name).read_text() == pages()[name]()
