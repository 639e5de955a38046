"""Wiring of the compute service: who tells it of its servers' ports, if anybody shall."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from alcor.dataplane.realize import Told
from alcor.runtime.access import keystone_password
from alcor.runtime.background import background
from alcor.runtime.config import RegionConfig
from alcor.runtime.settings import ConfigurationError
from alcor.store.interface import Store


@contextlib.asynccontextmanager
async def notifying(config: RegionConfig, store: Store) -> AsyncIterator[Told | None]:
    """What is to hear of stored facts of ports; None if no compute service is to be told.

    Raises: ConfigurationError.
    """
    settings, keystone = config.compute, config.keystone
    if not settings.notify:
        yield None
        return
    if not keystone.auth_url:
        raise ConfigurationError(
            "compute.notify is on, but keystone.auth_url is empty: the compute service wants a service's token"
        )
    # Not at the top: only who notifies needs the library.
    from alcor.compute.client import ComputeAccount, NovaClient
    from alcor.compute.notifier import Notifier

    client = NovaClient(
        ComputeAccount(
            auth_url=keystone.auth_url.rstrip("/").removesuffix("/v3") + "/v3",
            username=keystone.username,
            password=keystone_password(keystone),
            project_name=keystone.project_name,
            user_domain_name=keystone.user_domain_name,
            project_domain_name=keystone.project_domain_name,
            region_name=keystone.region_name,
            interface=settings.interface,
            url=settings.url,
            ca_file=keystone.ca_file,
            timeout_s=settings.timeout_s,
        )
    )
    notifier = Notifier(
        store, client, now_ms=lambda: time.time_ns() // 1_000_000, gather_s=settings.gather_ms / 1000
    )
    try:
        async with background("compute", asyncio.create_task(notifier.run(), name="compute")):
            yield notifier
    finally:
        client.close()
