"""`Switch` on a real Open vSwitch: a database connection and an OpenFlow connection, kept together.

One *session* is both connections at once. When either ends, both are given up, `Lost` is told, and the driver goes
on trying: first the database, then the bridge in it, then the bridge's management socket, then, once ovs-vswitchd
says that it carried out the configuration, `Connected`. A restart of ovs-vswitchd, however quick, ends the
OpenFlow connection and so cannot be missed.

Promises: a fresh driver recognises flows by cookie and numbers by the database, and remembers nothing itself (I11).
Flows with other cookies, and ports it did not make, are left alone. It starts no process.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alcor.agent.driver import (
    ConnectionTuple,
    FlowDiff,
    FlowsRefused,
    PacketIn,
    PortSpec,
    RawKey,
    Resumed,
    SwitchError,
    SwitchEvent,
    SwitchTrace,
    TraceEntry,
    TunnelHealth,
    VifsChanged,
)
from alcor.agent.ovs import openflow, unixctl
from alcor.agent.ovs.actions import PORT_CONTROLLER
from alcor.agent.ovs.bridge import Bridge
from alcor.agent.ovs.connection import Connection, ItemsRefused
from alcor.agent.ovs.events import EventQueue
from alcor.agent.ovs.flush import encode_flush
from alcor.agent.ovs.groups import (
    GroupCommand,
    GroupDesc,
    decode_group_descs,
    describe,
    encode_group_delete,
    encode_group_desc_request,
    encode_group_mod,
)
from alcor.agent.ovs.openflow import MeterCommand, Multipart, PuntedPacket, Type
from alcor.agent.ovs.ovsdb import Database
from alcor.agent.ovs.oxm import Unencodable, decode_fields, enclose, encode_oxms
from alcor.agent.ovs.ports import ExtraPorts, changes_of_health
from alcor.agent.ovs.readback import diff_flows, diff_groups, diff_meters, find_stale
from alcor.agent.ovs.trace import trace
from alcor.agent.ovs.warm import encode_probe
from alcor.agent.ovs.writer import Listen, Remote, Superseded, listen, retake, take_as_own, take_by_lease
from alcor.model.address import Ip
from alcor.pipeline.flow import Action, Field, Flow, FlowKey, GroupSpec, MeterSpec, Resubmit, Term
from alcor.pipeline.tables import (
    COOKIE_KIND_SHIFT,
    COOKIE_OURS,
    COOKIE_OURS_MASK,
    GROUPS_OURS,
    METERS_OURS,
    NETWORK,
    UnitKind,
)
from alcor.telemetry.log import get_log

_log = get_log("agent.ovs")

_RETRY_S_MIN: Final = 0.02
_RETRY_S_MAX: Final = 1.0


@dataclass(slots=True)
class _Session:
    """Both connections while they last. `meters` and `groups` are what the switch holds."""

    database: Database
    bridge: Bridge
    openflow: Connection
    meters: dict[int, MeterSpec | None]
    groups: dict[int, GroupDesc]
    vifs: dict[str, int]
    ports_version: int
    ports: ExtraPorts
    health: dict[Ip, TunnelHealth]

    def close(self) -> None:
        self.openflow.close()
        self.database.close()


class OvsSwitch:
    """The Open vSwitch of this host. One reader of `events` at a time; it must be read for anything to happen.

    `db_socket`: where ovsdb-server listens. `run_folder`: where ovs-vswitchd puts `<bridge>.mgmt`.
    `datapath_type`: `netdev` for the userspace datapath; None leaves it as it is.
    A flow is ours if `cookie & cookie_mask == flow.cookie & cookie_mask`, a meter or group by its number.
    """

    def __init__(
        self,
        db_socket: Path,
        run_folder: Path,
        *,
        bridge: str = "br-int",
        datapath_type: str | None = None,
        cookie: int = COOKIE_OURS,
        cookie_mask: int = COOKIE_OURS_MASK,
        meters_ours: range = METERS_OURS,
        groups_ours: range = GROUPS_OURS,
        remote: Remote | None = None,
        listen: Listen | None = None,
    ) -> None:
        """`remote`: it is another host's, programmed by a lease. `listen`: let others' rescuers program it."""
        if cookie & ~cookie_mask:
            raise ValueError(f"cookie {cookie:#x} has bits outside its mask {cookie_mask:#x}")
        self._db_socket = db_socket
        self._run_folder = run_folder
        self._mgmt_socket = run_folder / f"{bridge}.mgmt"
        self._bridge_name = bridge
        self._datapath_type = datapath_type
        self._cookie = cookie
        self._cookie_mask = cookie_mask
        self._meters_ours = meters_ours
        self._groups_ours = groups_ours
        self._events = EventQueue()
        self._session: _Session | None = None
        self._absence = "not connected yet"
        self._task: asyncio.Task[None] | None = None
        self._tunnels: dict[str, int] = {}
        self._programming = asyncio.Lock()
        self._remote, self._listen = remote, listen
        self._retaking: asyncio.Task[None] | None = None
        self.superseded: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Of a remote one: done, with the reason, when somebody with a higher generation programs it."""

    # Events and the session behind them.

    async def events(self) -> AsyncIterator[SwitchEvent]:
        """See `Switch.events`. The first call starts the driver; the iteration ends after `close`."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"ovs-{self._bridge_name}")
        async for event in self._events.read():
            yield event

    async def _run(self) -> None:
        delay_s = _RETRY_S_MIN
        while True:
            was_connected = False
            try:
                session = await self._connect()
                was_connected = True
                await self._serve(session)
            except Superseded as error:
                self._supersede(str(error))
                return
            except SwitchError as error:
                self._note_absence(str(error), was_connected)
            except Exception as error:
                # The loop's edge: what we did not foresee must not end the driver; it starts over.
                _log.exception("switch_session_failed", bridge=self._bridge_name)
                self._note_absence(f"{type(error).__name__}: {error}", was_connected)
            delay_s = _RETRY_S_MIN if was_connected else min(delay_s * 2, _RETRY_S_MAX)
            await asyncio.sleep(delay_s)

    def _note_absence(self, reason: str, was_connected: bool) -> None:
        if was_connected:
            _log.warning("switch_lost", bridge=self._bridge_name, reason=reason)
            self._events.lost(reason)
        elif reason != self._absence:
            _log.info("switch_awaited", bridge=self._bridge_name, reason=reason)
        self._absence = reason

    async def _serve(self, session: _Session) -> None:
        """Hold a session until one of its connections ends, then raise SwitchError."""
        self._session = session
        try:
            ends = (session.openflow.closed, session.database.rpc.closed)
            self._events.connected(VifsChanged(session.vifs))
            self._tell_health(session)
            _log.info("switch_connected", bridge=self._bridge_name, vifs=len(session.vifs))
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            raise SwitchError(next(end.result() for end in ends if end.done()))
        finally:
            self._session = None
            session.close()

    async def _connect(self) -> _Session:
        """One attempt at a session; waits as long as the database is there but the switch is not."""
        remote = self._remote
        where = self._db_socket if remote is None else remote.database
        database = await Database.open(where, self._vifs_may_have_changed)
        connection: Connection | None = None
        try:
            bridge = Bridge(
                database, self._bridge_name, self._datapath_type, keeps_controller=self._listen is not None
            )
            if remote is None:
                await bridge.ensure()
            connection = await self._reach(database, bridge)
            await self._become_writer(connection, bridge, database)
            await self._settle(bridge, connection)
            meters = await self._read_meters(connection)
            groups = await self._read_groups(connection)
            version = database.ports_version
            ports = ExtraPorts(database, bridge)
            return _Session(database, bridge, connection, meters, groups, bridge.vifs(), version, ports, {})
        except BaseException:
            if connection is not None:
                connection.close()
            database.close()
            raise

    async def _become_writer(self, connection: Connection, bridge: Bridge, database: Database) -> None:
        """Where two may program a switch, be the one who does. Raises: SwitchError."""
        if self._remote is not None:
            await take_by_lease(connection, bridge, database, self._remote.lease)
            connection.on_demoted = lambda: self._supersede("the host's own agent programs its switch again")
        elif self._listen is not None:
            await take_as_own(connection, bridge, database)
            connection.on_demoted = lambda: self._retake(connection)
            try:
                await listen(database, bridge, self._listen)
            except SwitchError as error:
                # The host's own work does not depend on it.
                _log.error("switch_does_not_listen", reason=str(error))

    def _supersede(self, reason: str) -> None:
        if not self.superseded.done():
            self.superseded.set_result(reason)
        if self._session is not None:
            self._session.close()

    def _retake(self, connection: Connection) -> None:
        """A rescuer came although this host's own agent is here: it wins."""

        async def work() -> None:
            try:
                await retake(connection)
            except SwitchError as error:
                connection.close(f"the role of MASTER was not given back: {error}")

        # What the rescuer changed meanwhile is found by comparing, as after every connection.
        _log.warning("switch_taken_by_rescuer", bridge=self._bridge_name)
        self._retaking = asyncio.create_task(work(), name="ovs-retake")
        self._retaking.add_done_callback(lambda _: connection.close("a rescuer had been here; compared anew"))

    async def _reach(self, database: Database, bridge: Bridge) -> Connection:
        """Connect to the management socket, as often as it takes while the database is there."""
        delay_s = _RETRY_S_MIN
        while True:
            try:
                where = self._mgmt_socket if self._remote is None else self._remote.openflow
                return await Connection.open(where, self._take_packet)
            except SwitchError as error:
                complaint = bridge.complaint()
                reason = f"{error}; bridge {self._bridge_name}: {complaint}" if complaint else str(error)
                self._note_absence(reason, was_connected=False)
            await asyncio.wait((database.rpc.closed,), timeout=delay_s)
            if database.rpc.closed.done():
                raise SwitchError(database.rpc.closed.result())
            if bridge.find() is None:
                raise SwitchError(f"bridge {self._bridge_name} has been deleted")
            delay_s = min(delay_s * 2, _RETRY_S_MAX)

    async def _settle(self, bridge: Bridge, connection: Connection) -> None:
        """Wait until ovs-vswitchd has made all ports, so that their numbers are true."""
        settling = asyncio.ensure_future(bridge.settle())
        try:
            await asyncio.wait((settling, connection.closed), return_when=asyncio.FIRST_COMPLETED)
            if connection.closed.done():
                raise SwitchError(connection.closed.result())
            await settling
        finally:
            settling.cancel()
            with contextlib.suppress(asyncio.CancelledError, SwitchError):
                await settling

    async def _read_meters(self, connection: Connection) -> dict[int, MeterSpec | None]:
        parts = await connection.multipart(Multipart.METER_DESC, openflow.encode_meter_desc_request())
        meters: dict[int, MeterSpec | None] = {}
        for part in parts:
            meters |= openflow.decode_meter_descs(part)
        return meters

    async def _read_groups(self, connection: Connection) -> dict[int, GroupDesc]:
        parts = await connection.multipart(Multipart.GROUP_DESC, encode_group_desc_request())
        groups: dict[int, GroupDesc] = {}
        for part in parts:
            groups |= decode_group_descs(part)
        return groups

    def _vifs_may_have_changed(self) -> None:
        session = self._session
        if session is None or session.database.ports_version == session.ports_version:
            return
        session.ports_version = session.database.ports_version
        if session.bridge.find() is None:
            return  # deleted: its OpenFlow connection ends next
        self._tell_health(session)
        vifs = session.bridge.vifs()
        if vifs != session.vifs:
            session.vifs = vifs
            self._events.vifs_changed(VifsChanged(vifs))

    def _tell_health(self, session: _Session) -> None:
        health = session.ports.health()
        for change in changes_of_health(session.health, health):
            self._events.tunnel_health(change)
        session.health = health

    def _take_packet(self, packet: PuntedPacket) -> None:
        in_port = packet.fields.get("in_port", 0)
        self._events.packet_in(PacketIn(in_port, packet.table, packet.data, packet.fields))

    def _get_session(self) -> _Session:
        if self._session is None:
            raise SwitchError(f"switch {self._bridge_name} is gone: {self._absence}")
        return self._session

    # What the agent asks for.

    async def load_numbers(self) -> dict[str, int]:
        """See `Switch.load_numbers`."""
        return self._get_session().bridge.load_numbers()

    async def save_numbers(self, put: Mapping[str, int], remove: Sequence[str] = ()) -> None:
        """See `Switch.save_numbers`."""
        if put or remove:
            await self._get_session().bridge.save_numbers(put, remove)

    async def ensure_tunnels(self, vteps: Sequence[str], types: Sequence[str]) -> dict[str, int]:
        """See `Switch.ensure_tunnels`. Idempotent; a port with other options is corrected.

        Raises: SwitchError with the switch's own reason if it cannot make a port.
        """
        tunnels = await self._get_session().bridge.ensure_tunnels(vteps, types)
        self._tunnels = dict(tunnels)
        return tunnels

    async def ensure_ports(self, ports: Sequence[PortSpec]) -> dict[str, int]:
        """See `Switch.ensure_ports`. Idempotent; a port with other settings is corrected.

        Raises: SwitchError with the switch's own reason if it cannot make a port.
        """
        return await self._get_session().ports.ensure(ports)

    async def flush_conntrack(self, zone: int, connection: ConnectionTuple | None = None) -> None:
        """See `Switch.flush_conntrack`."""

        def encode(_: object, xid: int) -> bytes:
            return openflow.encode_message(Type.EXPERIMENTER, xid, encode_flush(zone, connection))

        await self._get_session().openflow.send_each(
            [zone], encode, lambda zone: f"to forget zone {zone}, {connection or 'whole'}"
        )

    async def flush_zones(self, zones: Sequence[int]) -> None:
        """See `Switch.flush_zones`. Cost: one round trip."""

        def encode(zone: int, xid: int) -> bytes:
            return openflow.encode_message(Type.EXPERIMENTER, xid, encode_flush(zone, None))

        if zones:
            await self._get_session().openflow.send_each(
                zones, encode, lambda zone: f"to forget zone {zone}, whole"
            )

    async def dump_conntrack(self, zone: int) -> list[str]:
        """See `Switch.dump_conntrack`. Asks the daemon's control socket: not for the fast path."""
        self._get_session()
        if self._remote is not None:
            raise SwitchError("the control socket of another host's switch is not to be reached")
        socket = unixctl.find_socket(self._mgmt_socket.parent)
        text = await unixctl.call(socket, "dpctl/dump-conntrack", f"zone={zone}")
        return text.splitlines()

    async def compare(
        self,
        desired: Mapping[FlowKey, Flow],
        meters: Sequence[MeterSpec],
        groups: Sequence[GroupSpec] = (),
    ) -> FlowDiff:
        """See `Switch.compare`.

        A flow of another's with the table, priority and match of a desired one is not seen here, and is replaced
        when the desired one is put: a switch has only one.
        """
        session = self._get_session()
        async with self._programming:
            session.meters = await self._read_meters(session.openflow)
            session.groups = await self._read_groups(session.openflow)
            request = openflow.encode_flow_desc_request(self._cookie, self._cookie_mask)
            parts = await session.openflow.multipart(Multipart.FLOW_DESC, request)
        flows = await diff_flows(desired, parts)
        return FlowDiff(
            flows.put,
            flows.remove,
            diff_meters(meters, session.meters),
            tuple(diff_groups(groups, session.groups)),
            find_stale(session.meters, (meter.id for meter in meters), self._meters_ours),
            find_stale(session.groups, (group.id for group in groups), self._groups_ours),
        )

    async def apply(self, diff: FlowDiff) -> None:
        """See `Switch.apply`. Puts go before removals, so that what moves to another key has no gap.

        An empty difference sends nothing. Cost: measured in the tests of speed, over 50,000 flows a second.
        Raises: SwitchError naming the flow, meter or group refused. Bundles before its own stay: compare again.
        """
        if not diff:
            return
        session = self._get_session()
        async with self._programming:
            if diff.meters:
                await self._apply_meters(session, diff.meters)
            if diff.groups:
                await self._apply_groups(session, diff.groups)
            items: list[Flow | FlowKey | RawKey] = [*diff.put, *diff.remove]
            if items:
                encoder = _Encoder(self._cookie, self._cookie_mask)
                await self._commit(session, items, encoder)
            if diff.groups_removed or diff.meters_removed:
                await self._remove(session, diff)

    async def _commit(
        self, session: _Session, items: list[Flow | FlowKey | RawKey], encoder: "_Encoder"
    ) -> None:
        try:
            await session.openflow.commit(items, encoder.encode, _render)
        except ItemsRefused as error:
            keys = [item.key for item in error.items if isinstance(item, Flow)]
            if not keys:
                raise
            raise FlowsRefused(str(error), keys) from error

    async def _apply_meters(self, session: _Session, meters: Sequence[MeterSpec]) -> None:
        def encode(meter: MeterSpec, xid: int) -> bytes:
            if meter.id not in self._meters_ours:
                raise Unencodable("its number is not one of ours, so it could not be found again")
            command = MeterCommand.MODIFY if meter.id in session.meters else MeterCommand.ADD
            return openflow.encode_message(Type.METER_MOD, xid, openflow.encode_meter_mod(command, meter))

        changed = diff_meters(meters, session.meters)
        if changed:
            await session.openflow.send_each(changed, encode, repr)
            session.meters |= {meter.id: meter for meter in changed}

    async def _apply_groups(self, session: _Session, groups: Sequence[GroupSpec]) -> None:
        def encode(group: GroupSpec, xid: int) -> bytes:
            if group.id not in self._groups_ours:
                raise Unencodable("its number is not one of ours, so it could not be found again")
            command = GroupCommand.MODIFY if group.id in session.groups else GroupCommand.ADD
            return openflow.encode_message(Type.GROUP_MOD, xid, encode_group_mod(command, group))

        changed = diff_groups(groups, session.groups)
        if changed:
            await session.openflow.send_each(changed, encode, repr)
            session.groups |= {group.id: describe(group) for group in changed}

    async def _remove(self, session: _Session, diff: FlowDiff) -> None:
        """Groups first: they may use meters. What is not there is no error."""

        def encode(item: tuple[Type, int], xid: int) -> bytes:
            kind, number = item
            body = (
                encode_group_delete(number)
                if kind is Type.GROUP_MOD
                else openflow.encode_meter_delete(number)
            )
            return openflow.encode_message(kind, xid, body)

        items = [(Type.GROUP_MOD, id) for id in diff.groups_removed if id in self._groups_ours]
        items += [(Type.METER_MOD, id) for id in diff.meters_removed if id in self._meters_ours]
        await session.openflow.send_each(items, encode, lambda item: f"to remove {item[0].name} {item[1]}")
        for id in diff.groups_removed:
            session.groups.pop(id, None)
        for id in diff.meters_removed:
            session.meters.pop(id, None)

    async def trace(self, entry: TraceEntry) -> SwitchTrace:
        """See `Switch.trace`."""
        self._get_session()
        if self._remote is not None:
            raise SwitchError("the control socket of another host's switch is not to be reached")
        return await trace(unixctl.find_control(self._run_folder), self._bridge_name, entry)

    async def send_packet(self, data: bytes, out_port: int) -> None:
        """See `Switch.send_packet`. A port that does not exist is logged, not raised: packet-outs have no reply."""
        connection = self._get_session().openflow
        await connection.drain()
        connection.send(openflow.encode_packet_out(connection.next_xid(), data, openflow.output(out_port)))

    async def resume_packet(self, packet: Resumed) -> None:
        """See `Switch.resume_packet`."""
        connection = self._get_session().openflow
        await connection.drain()
        # Where it came from must be said outside: what an action writes is forgotten by the next connection tracking.
        said = {one.field: one.value for one in packet.fields}
        in_port = said.get(Field.IN_PORT) or PORT_CONTROLLER
        written = (one for one in packet.fields if one.field is not Field.IN_PORT)
        actions: tuple[Action, ...] = (*written, Resubmit(packet.table))
        connection.send(openflow.encode_packet_out(connection.next_xid(), packet.data, actions, in_port))

    async def packet_counts(self, kind: UnitKind, network_key: int = 0) -> dict[int, int]:
        """See `Switch.packet_counts`."""
        terms = (Term(NETWORK, network_key),) if network_key else ()
        ours, mask = self._cookie | kind << COOKIE_KIND_SHIFT, self._cookie_mask | 0xFF << COOKIE_KIND_SHIFT
        request = openflow.encode_flow_desc_request(ours, mask, oxms=encode_oxms(terms))
        found: Counter[int] = Counter()
        for part in await self._get_session().openflow.multipart(Multipart.FLOW_DESC, request):
            await asyncio.sleep(0)
            openflow.decode_packet_counts(part, found)
        return dict(found)

    async def flow_fields(self, kind: UnitKind, table: int) -> list[Mapping[str, int]]:
        """See `Switch.flow_fields`."""
        ours, mask = self._cookie | kind << COOKIE_KIND_SHIFT, self._cookie_mask | 0xFF << COOKIE_KIND_SHIFT
        request = openflow.encode_flow_desc_request(ours, mask, table)
        found: list[Mapping[str, int]] = []
        for part in await self._get_session().openflow.multipart(Multipart.FLOW_DESC, request):
            await asyncio.sleep(0)
            found += [decode_fields(flow.oxms) for flow in openflow.decode_flow_descs(part)]
        return found

    async def warm_tunnels(self, vteps: Sequence[str]) -> None:
        """See `Switch.warm_tunnels` and `warm`: one empty frame through the tunnel to each VTEP.

        Does nothing before `ensure_tunnels`. Returns when the switch has sent them, not when they were answered.
        """
        connection = self._get_session().openflow
        for port in list(self._tunnels.values())[:1]:
            for vtep in vteps:
                await connection.drain()
                connection.send(encode_probe(connection.next_xid(), port, vtep))
            await connection.barrier()

    async def close(self) -> None:
        """See `Switch.close`. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._events.end()


@dataclass(frozen=True, slots=True)
class _Encoder:
    """Messages for the items of a difference; removals hit only flows with our cookie."""

    cookie: int
    cookie_mask: int

    def encode(self, item: Flow | FlowKey | RawKey, xid: int) -> bytes:
        if isinstance(item, Flow):
            if (item.cookie ^ self.cookie) & self.cookie_mask:
                raise Unencodable("its cookie is not one of ours, so it could not be found again")
            return openflow.encode_put(item, xid)
        if isinstance(item, FlowKey):
            return openflow.encode_remove(item, xid, self.cookie, self.cookie_mask)
        match = enclose(item.raw)
        return openflow.encode_remove_raw(
            item.table, item.priority, match, xid, self.cookie, self.cookie_mask
        )


def _render(item: Flow | FlowKey | RawKey) -> str:
    if isinstance(item, Flow):
        return f"flow {openflow.render_flow(item)}"
    if isinstance(item, FlowKey):
        return f"to remove {openflow.render_flow(Flow(*item, actions=(), cookie=0))}"
    return f"to remove table={item.table},priority={item.priority},match {item.raw.hex()}"
