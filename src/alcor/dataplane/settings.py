"""What this process is configured to have hosts told, and what they are told: one row, set by who started last.

    started with other settings than the row's ─► the row is set, once in the life of a process
    another one started since it was read      ─► that one's stay
    the row says otherwise, whenever           ─► hosts are told what the row says, and this says so

So two that are configured otherwise never take turns: nothing but a start sets the row (docs/decisions/0031).
"""

import msgspec

from alcor.goalstate.item import RegionItem
from alcor.model.region_setting import SETTING_ID, RegionSetting
from alcor.store.interface import Store, Transaction
from alcor.telemetry.log import get_log

log = get_log("dataplane")

_FIELDS = ("responder_mac", "dhcp_lease_s", "dns_domain", "dns_forwarders", "relay_above", "flood_above")
_ACTION = "give all dataplanes one configuration, and start one that has the right one again"


class Settings:
    """The settings of one process; it outlives the dataplanes that the process begins anew."""

    def __init__(self, store: Store, wanted: RegionItem) -> None:
        self._store, self._wanted = store, wanted
        # The number of the row when this process came; None: it has not looked.
        self._came_at: int | None = None
        self._is_done = False
        self._present = wanted

    async def come(self) -> None:
        """Take note, once, of who set the row last: who does so from here on came later. Raises: Unavailable."""
        if self._came_at is None:
            row = await self._store.reader.find(RegionSetting, SETTING_ID)
            self._came_at = row.number if row is not None else 0

    async def claim(self) -> None:
        """Set the row, once, unless it is right, or another process came later. Raises: Unavailable."""
        if self._is_done:
            return
        await self.come()
        number = (await self._store.write(self._put)).value
        self._is_done = True
        if number is not None:
            log.info("settings_changed", number=number)

    async def _put(self, tx: Transaction) -> int | None:
        row = await tx.find(RegionSetting, SETTING_ID)
        number = row.number if row is not None else 0
        if number != self._came_at or (row is not None and not _different(self._wanted, row)):
            return None
        after = _row(self._wanted, number + 1)
        if row is None:
            tx.insert(after)
        else:
            tx.update(after)
        return after.number

    def follow(self, present: RegionItem) -> None:
        """Hosts are told these from here on."""
        if present == self._present:
            return
        self._present = present
        if names := _different(self._wanted, present):
            log.warning("settings_differ", settings=names, reason=self.difference, action=_ACTION)

    @property
    def difference(self) -> str:
        """What is told otherwise than configured here, in a sentence; empty if nothing is."""
        said = [
            f"{name} {_shown(self._wanted, name)} here, {_shown(self._present, name)} told"
            for name in _different(self._wanted, self._present)
        ]
        return f"settings differ from those hosts are told ({'; '.join(said)}): {_ACTION}" if said else ""


def _row(item: RegionItem, number: int) -> RegionSetting:
    said = {name: getattr(item, name) for name in _FIELDS}
    return RegionSetting(id=SETTING_ID, number=number, **said)


def _different(one: RegionItem, other: RegionItem | RegionSetting) -> list[str]:
    return [name for name in _FIELDS if getattr(one, name) != getattr(other, name)]


def _shown(item: RegionItem, name: str) -> str:
    value = getattr(item, name)
    return msgspec.json.encode(value).decode()
