"""Flows on a real Open vSwitch, driven as `SimulatedTables` is: frames in by packet-out, frames out by packet-in.

Everything a real packet would meet happens, connection tracking and recirculation too, without a port: what leaves
does so by `Controller`, with registers and CT_… fields.
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from alcor.agent.ovs import openflow
from alcor.agent.ovs.connection import Connection
from alcor.agent.ovs.openflow import PuntedPacket, Type
from alcor.agent.ovs.oxm import enclose, encode_value
from alcor.agent.ovs.switch import OvsSwitch
from alcor.pipeline.flow import Controller, Field, Flow, GroupSpec, match
from alcor.pipeline.tables import COOKIE_OURS
from tests.support.ovs import OvsPair, a_connected_driver, eventually, run

PORTS = (1, 2)
"""OpenFlow ports that are there."""

_MARKER = bytes.fromhex("02aaaaaaaaaa02bbbbbbbbbb88b6") + bytes(46)
_MARKED = match(eth_type=0x88B6)
_SUBMIT = struct.pack("!HHIH6x", 0, 16, 0xFFFF_FFF9, 0)  # output to TABLE
_NO_BUFFER = 0xFFFF_FFFF


class Punt(NamedTuple):
    """A frame that left: what it was, where, and the fields that are not 0."""

    frame: bytes
    table: int
    fields: dict[str, int]


class OracleTables:
    """The tables of a real bridge."""

    def __init__(self, switch: OvsSwitch, pair: OvsPair, bridge: str) -> None:
        self.switch = switch
        self._pair, self._bridge = pair, bridge
        self._heard: asyncio.Queue[PuntedPacket] = asyncio.Queue()
        self._connection: Connection | None = None

    async def open(self) -> None:
        """Connect beside the driver. The switch's namespace speaks no IPv6 of its own from then on."""
        if self._pair.namespace:
            silence = (f"net.ipv6.conf.{who}.disable_ipv6=1" for who in ("all", "default"))
            run("ip", "netns", "exec", self._pair.namespace, "sysctl", "-qw", *silence)
        for port in PORTS:
            # A packet that recirculates is looked up again by its port, which must be there.
            name = f"{self._bridge[-8:]}p{port}"
            settings = ("type=internal", f"ofport_request={port}")
            self._pair.vsctl("add-port", self._bridge, name, "--", "set", "interface", name, *settings)
        path = self._pair.folder / f"{self._bridge}.mgmt"
        self._connection = await Connection.open(path, self._heard.put_nowait)

    async def load(self, flows: Sequence[Flow], groups: Sequence[GroupSpec] = ()) -> None:
        """Have exactly these flows and groups, and no connections."""
        marker = Flow(0, 0xFFFF, _MARKED, (Controller(),), COOKIE_OURS | 0xFFFF)
        wanted = {flow.key: flow for flow in (*flows, marker)}
        await self.switch.apply(await self.switch.compare(wanted, [], groups))
        self._pair.appctl("dpctl/flush-conntrack")

    async def set_up(self, ports: Sequence[int]) -> None:
        """Have the links of these ports up, of the others down, and the switch know it."""
        for port in PORTS:
            name, state = f"{self._bridge[-8:]}p{port}", "up" if port in ports else "down"
            self._pair.ip("link", "set", name, state)
            words = ("get", "interface", name, "link_state")
            await eventually(
                lambda words=words, state=state: self._pair.vsctl(*words).strip() == state,  # type: ignore[misc]  # mypy infers no defaults
                f"{name} is {state}",
            )

    async def process(self, frame: bytes, in_port: int) -> list[Punt]:
        """What leaves when a frame enters by a port. Waits for the switch to be through with it."""
        self._send(frame, in_port)
        self._send(_MARKER, in_port)
        found = []
        async with asyncio.timeout(60):
            while (punt := await self._heard.get()).data != _MARKER:
                fields = {name: value for name, value in punt.fields.items() if value}
                found.append(Punt(punt.data, punt.table, fields))
        return found

    def _send(self, frame: bytes, in_port: int) -> None:
        assert self._connection is not None
        oxms = enclose(encode_value(Field.IN_PORT, in_port, None))
        head = _NO_BUFFER.to_bytes(4, "big") + len(_SUBMIT).to_bytes(2, "big") + bytes(2)
        xid = self._connection.next_xid()
        self._connection.send(openflow.encode_message(Type.PACKET_OUT, xid, head + oxms + _SUBMIT + frame))

    def close(self) -> None:
        """End the second connection."""
        if self._connection is not None:
            self._connection.close()


@contextlib.asynccontextmanager
async def an_oracle(pair: OvsPair) -> AsyncIterator[OracleTables]:
    """A bridge of its own on a running switch."""
    async with a_connected_driver(pair) as (switch, _):
        bridge = switch._bridge_name
        oracle = OracleTables(switch, pair, bridge)
        await oracle.open()
        try:
            yield oracle
        finally:
            oracle.close()
            pair.vsctl("--if-exists", "del-br", bridge)
