"""Settings of dataplanes that are configured otherwise: who started last wins, once; on each real store."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from alcor.dataplane.settings import Settings
from alcor.goalstate.item import RegionItem
from alcor.goalstate.project import setting_fact
from alcor.model.region_setting import SETTING_ID, RegionSetting
from alcor.store.interface import Store
from tests.support.goalstate import A_REGION
from tests.support.store import ADAPTERS, OpenStore

OTHER = msgspec.structs.replace(A_REGION, dhcp_lease_s=600)


@pytest.fixture(params=ADAPTERS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    opened: OpenStore = request.param
    async with opened(tmp_path) as store:
        yield store


async def told(store: Store) -> RegionItem:
    """What hosts are told."""
    row = await store.reader.find(RegionSetting, SETTING_ID)
    assert row is not None
    return setting_fact(row)


async def test_the_last_that_started_wins_once(store: Store) -> None:
    """The second one's count; the first one does not set its own again, however often it loads."""
    first, second = Settings(store, A_REGION), Settings(store, OTHER)
    await first.claim()
    await second.claim()
    head = await store.head()
    await first.claim()
    await second.claim()

    assert await told(store) == OTHER
    assert await store.head() == head


async def test_both_are_configured_alike(store: Store) -> None:
    """Then the second one takes no revision."""
    await Settings(store, A_REGION).claim()
    head = await store.head()
    await Settings(store, A_REGION).claim()

    assert await store.head() == head


async def test_one_that_came_earlier_and_writes_later(store: Store) -> None:
    """It came, stood still, and another one started meanwhile: that one's settings stay."""
    await Settings(store, A_REGION).claim()
    late = Settings(store, msgspec.structs.replace(A_REGION, relay_above=9))
    await late.come()
    await Settings(store, OTHER).claim()
    await late.claim()

    assert await told(store) == OTHER


async def test_a_difference_is_said(store: Store) -> None:
    """In a sentence that names what differs, for as long as it does, and in the log once each time it begins."""
    settings = Settings(store, A_REGION)
    assert settings.difference == ""
    with capture_logs() as logs:
        settings.follow(A_REGION)
        settings.follow(OTHER)
        settings.follow(OTHER)

    assert "dhcp_lease_s 86400 here, 600 told" in settings.difference
    assert [(entry["event"], entry["settings"]) for entry in logs] == [("settings_differ", ["dhcp_lease_s"])]
    settings.follow(A_REGION)
    assert settings.difference == ""
