"""The reference page."""

from pathlib import Path

from alcor.pipeline.reference import render_reference


def test_the_reference_page_is_fresh() -> None:
    """`docs/reference/pipeline.md` is what `python -m alcor.pipeline.reference` prints."""
    page = Path(__file__).parents[3] / "docs" / "reference" / "pipeline.md"

    assert page.read_text() == render_reference()
