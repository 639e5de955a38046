"""Metadata service and name server as one task of the agent: they share the device they are asked through."""

import contextlib
from dataclasses import dataclass

from alcor.agent.handler import Desk, Maker, PacketHandler, Tools
from alcor.agent.metadata.link import find_index, open_sockets, prepare
from alcor.agent.metadata.service import Compute, MetadataService
from alcor.agent.names.server import NameServer
from alcor.telemetry.log import get_log

log = get_log("metadata")

LOOK_S = 0.25
"""How often the device is looked for: while it is not there, and whether it still is the same."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`device`: the switch's port of the services; `compute`: who knows instances, None: this host."""

    device: str
    compute: Compute | None = None


def host_services(settings: Settings) -> Maker:
    """The maker of the handler that serves metadata and names."""

    def make(tools: Tools) -> PacketHandler:
        async def run(desk: Desk) -> None:
            await _serve(desk, settings, tools)

        return PacketHandler("host services", run=run)

    return make


async def _serve(desk: Desk, settings: Settings, tools: Tools) -> None:
    """Serve from when the device is there until it is gone or another of its name (a switch that was restarted)."""
    index = 0
    while not index:
        index = find_index(settings.device) if desk.allocation.metadata_ofport else 0
        if not index:
            await tools.sleep(LOOK_S)
    await prepare(settings.device)
    metadata, names = MetadataService(desk, settings.compute), NameServer(desk)
    with contextlib.closing(open_sockets(settings.device)) as sockets:
        async with metadata.serve(sockets.http), names.serve(sockets.dns_datagrams, sockets.dns_streams):
            log.info("services_started", device=settings.device)
            while find_index(settings.device) == index:
                await tools.sleep(LOOK_S)
    log.info("services_stopped", device=settings.device)
