"""Wiring of the rescue path on a host: its switch listens, and its process programs those of neighbours by lease."""

import asyncio
import random
import time
from collections.abc import Callable

from alcor import __version__
from alcor.agent.driver import InternalPort, SwitchError
from alcor.agent.ovs.endpoint import TlsEndpoint
from alcor.agent.ovs.switch import OvsSwitch
from alcor.agent.ovs.writer import Listen, Remote, find_service_port
from alcor.agent.part import Part
from alcor.agent.service import Agent
from alcor.bus.interface import AgentConnector, ItemCodec
from alcor.goalstate.item import RescueItem
from alcor.identity.context import client_context
from alcor.identity.folder import CA, HOST, HOST_KEY, HostFolder
from alcor.runtime.agent_config import Agent as AgentSettings
from alcor.runtime.agent_config import Rescue
from alcor.runtime.settings import ConfigurationError


def listens(rescue: Rescue, identity: HostFolder) -> Listen | None:
    """How the switch is to listen; None if rescue is off. Raises: ConfigurationError if the host has not joined."""
    if not rescue.enabled:
        return None
    if not identity.is_joined:
        raise ConfigurationError(
            f"rescue.enabled is true, and {identity.path} has no identity of this host. Join the region by "
            "`alcor-agent join`, or set rescue.enabled to false."
        )
    folder = identity.path.absolute()
    return Listen(
        key=str(folder / HOST_KEY),
        certificate=str(folder / HOST),
        trusted=str(folder / CA),
        ovsdb_port=rescue.ovsdb_port,
        openflow_port=rescue.openflow_port,
    )


class RescueWork:
    """As `agent.rescue.Work`: a second agent, of the same classes, for the rescued host."""

    def __init__(
        self,
        settings: AgentSettings,
        rescue: Rescue,
        identity: HostFolder,
        connector: Callable[[], AgentConnector],
        token: Callable[[], str],
        codec: ItemCodec,
    ) -> None:
        """`settings`: of this host, completed; `token`: what this host proves itself by."""
        self._settings, self._rescue, self._identity = settings, rescue, identity
        self._connector, self._token, self._codec = connector, token, codec

    async def __call__(self, rescue: RescueItem, /) -> str:
        """As `Work`."""
        remote, services = await self._reach(rescue)
        bridge, folder = self._settings.bridge, self._settings.run_folder
        switch = OvsSwitch(self._settings.ovsdb, folder, bridge=bridge, remote=remote)
        agent = Agent(
            self._connector(),
            switch,
            self._codec,
            host_id=rescue.id,
            token=self._token,
            version=__version__,
            now_ms=lambda: time.time_ns() / 1_000_000,
            random=random.random,
            metadata=services,
            makers=(),
            part=Part(rescuer_id=rescue.rescuer_id, lease=rescue.generation),
        )
        running = asyncio.create_task(agent.run(), name=f"rescue-agent-{rescue.id}")
        try:
            waited: set[asyncio.Future[None] | asyncio.Future[str]] = {running, switch.superseded}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
            return switch.superseded.result()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def _reach(self, rescue: RescueItem) -> tuple[Remote, InternalPort | None]:
        """The first address that answers, and the services' port there. Raises: SwitchError of the last one."""
        failure = SwitchError(f"host {rescue.id} has no tunnel address")
        for address in rescue.addresses:
            database = self._endpoint(rescue, address, self._rescue.ovsdb_port)
            try:
                services = await find_service_port(database, self._settings.bridge)
            except SwitchError as error:
                failure = error
                continue
            openflow = self._endpoint(rescue, address, self._rescue.openflow_port)
            return Remote(database, openflow, rescue.generation), services
        raise failure

    def _endpoint(self, rescue: RescueItem, address: str, port: int) -> TlsEndpoint:
        return TlsEndpoint(address, port, rescue.id, lambda: client_context(self._identity.path))
