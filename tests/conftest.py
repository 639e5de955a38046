"""Options of the whole suite."""

import pytest
from hypothesis import settings

# Property tests draw the same examples in every run, so that a run says something of the change it is run for; under
# --long they draw many more, anew each time.
settings.register_profile("quick", max_examples=40, deadline=None, derandomize=True, database=None)
settings.register_profile("long", max_examples=1_000, deadline=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--long` runs what takes minutes."""
    parser.addoption(
        "--long", action="store_true", help="run the slow tests too, and more examples of the others"
    )
    parser.addoption("--seed", type=int, help="replay this one seed of the simulation (tests/dst)")


def pytest_configure(config: pytest.Config) -> None:
    """How many examples a property test draws; before any test module is read."""
    settings.load_profile("long" if config.getoption("--long") else "quick")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without `--long` the slow tests are left out, and pytest counts them as deselected."""
    if config.getoption("--long"):
        return
    slow = [item for item in items if item.get_closest_marker("long")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("long")]
