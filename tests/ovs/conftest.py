"""What tests on real switches share."""

from collections.abc import Iterator

import pytest

from alcor.lab.site import Site


def _sites(item: pytest.Item) -> Iterator[Site]:
    for value in getattr(item, "funcargs", {}).values():
        site = getattr(value, "site", value)
        if isinstance(site, Site):
            yield site


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """What a test that failed left dead of a shared site is started again, before anything else looks at it."""
    for site in _sites(item):
        site.repair()
