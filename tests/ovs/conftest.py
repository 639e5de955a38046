"""What tests on real switches share."""

import secrets
from collections.abc import Iterator

import pytest

from alcor.lab.site import Site
from tests.support.ovs import OvsPair


@pytest.fixture
def bridge(pair: OvsPair) -> Iterator[str]:
    """The name of a bridge nobody has yet on a module's switch; deleted at the end."""
    name = f"br{secrets.token_hex(4)}"
    yield name
    pair.vsctl("--if-exists", "del-br", name)


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
