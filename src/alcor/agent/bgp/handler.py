"""BGP as a task of the agent: a bgpd for each autonomous system of the host's speakers, brought to what they are to say
after every turn that changed it, and so after the flows that carry what is advertised.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from alcor.agent.bgp.config import Speech, speeches, unusable
from alcor.agent.bgp.daemon import PROGRAM, BgpError, Daemon, Place, dismiss
from alcor.agent.handler import NOTHING, Confirmed, Desk, Maker, Outcome, PacketHandler, Tools
from alcor.goalstate.item import ItemKind
from alcor.pipeline.view import Allocation, View
from alcor.telemetry.log import get_log

log = get_log("bgp")

LOOK_S = 1.0
"""How often sessions are looked at, and a bgpd that ended is seen."""
_KINDS = frozenset((ItemKind.BGP_SPEAKER, ItemKind.BGP_ROUTES, ItemKind.HOST))


@dataclass(frozen=True, slots=True)
class Settings:
    """`folder`: of the files of all bgpds; `source`: the address sessions are opened from, empty: the host's choice."""

    folder: Path
    source: str = ""
    program: Path = PROGRAM


def bgp_speaker(settings: Settings) -> Maker:
    """The maker of the handler that advertises."""

    def make(tools: Tools) -> PacketHandler:
        task = _Task(settings, tools)
        return PacketHandler("bgp", noted=task.noted, run=task.run, complaint=lambda: task.complaint)

    return make


@dataclass(slots=True)
class _Task:
    settings: Settings
    tools: Tools
    complaint: str = ""
    _daemons: dict[int, Daemon] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def noted(self, confirmed: Confirmed, _view: View, _allocation: Allocation) -> Outcome:
        """Cost: O(items that changed)."""
        if any(change.key.kind in _KINDS for change in confirmed.items):
            self._changed.set()
        return NOTHING

    async def run(self, desk: Desk) -> None:
        """Speak until cancelled; then peers keep the routes for a while, as the switch does the flows."""
        self._daemons = {}
        is_clean = False
        try:
            while True:
                self._changed.clear()
                # Before the host's own scope is held nothing is known: what a former agent left goes on speaking.
                if desk.view.host is not None:
                    wanted = speeches(desk.view, self.settings.source)
                    if not is_clean:
                        await self._dismiss_others(wanted)
                        is_clean = True
                    complaints = await self._bring(wanted)
                    complaints += [
                        f"the password of BGP peer {ip} cannot be used: 1 to 80 printable characters, no spaces"
                        for ip in unusable(desk.view)
                    ]
                    self._complain(complaints)
                await self._wait()
        finally:
            for daemon in self._daemons.values():
                await daemon.kill()

    async def _dismiss_others(self, wanted: Mapping[int, Speech]) -> None:
        """End what an earlier agent left of autonomous systems that are no more."""
        for folder in self.settings.folder.glob("*"):
            if folder.name not in map(str, wanted):
                await dismiss(Place(folder, self.settings.program))

    async def _bring(self, wanted: Mapping[int, Speech]) -> list[str]:
        for local_as in [one for one in self._daemons if one not in wanted]:
            await self._daemons.pop(local_as).retire()
        if wanted and not self.settings.program.exists():
            return [
                f"nothing is advertised: bgpd is not installed ({self.settings.program}; Debian: package frr)"
            ]
        complaints = []
        for local_as, speech in wanted.items():
            if local_as not in self._daemons:
                place = Place(self.settings.folder / str(local_as), self.settings.program)
                self._daemons[local_as] = Daemon(place, self.tools.monotonic_s)
            daemon = self._daemons[local_as]
            try:
                await daemon.bring(speech)
            except BgpError as error:
                complaints.append(f"BGP of AS {local_as}: {error}")
                continue
            silent = await daemon.silent_peers()
            complaints += [f"no BGP session with {ip} ({state})" for ip, state in sorted(silent.items())]
        return complaints

    def _complain(self, complaints: list[str]) -> None:
        complaint = "; ".join(complaints)
        if complaint != self.complaint:
            log.info("bgp_state", complaint=complaint)
        self.complaint = complaint

    async def _wait(self) -> None:
        """Until something changed, or it is time to look. Where nobody speaks there is nothing to look at."""
        changed = asyncio.ensure_future(self._changed.wait())
        look = asyncio.ensure_future(self.tools.sleep(LOOK_S))
        try:
            await asyncio.wait(
                {changed, look} if self._daemons else {changed}, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            changed.cancel()
            look.cancel()
            await asyncio.gather(changed, look, return_exceptions=True)
