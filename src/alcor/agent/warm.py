"""Asks the underlay for new peers before ports are acknowledged, so that the first packet to one need not wait."""

from collections.abc import Iterable

from alcor.agent.driver import Switch, SwitchError
from alcor.agent.provision import PEER_KINDS, flooded_vteps
from alcor.pipeline.feature import ItemChange
from alcor.pipeline.view import View
from alcor.telemetry.log import get_log

log = get_log("agent")


class Warmer:
    """Remembers which VTEPs the switch was asked to look for."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._warmed: set[str] = set()
        self._is_due = True

    def connected(self) -> None:
        """The switch is another one, or may have forgotten."""
        self._warmed.clear()
        self._is_due = True

    def noted(self, items: Iterable[ItemChange]) -> None:
        """These items changed."""
        self._is_due |= any(change.key.kind in PEER_KINDS for change in items)

    async def warm(self, view: View) -> None:
        """Look for peers that are new; the answers come while the acknowledgement travels."""
        if not self._is_due:
            return
        self._is_due = False
        wanted = flooded_vteps(view)
        new = wanted - self._warmed
        self._warmed &= wanted
        if not new:
            return
        try:
            await self._switch.warm_tunnels(sorted(new))
        except SwitchError as error:
            self._is_due = True
            log.warning("tunnels_not_warmed", reason=str(error))
        else:
            self._warmed |= new
