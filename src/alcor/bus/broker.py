"""The normal path's broker: NATS with JetStream. Its connection and stream, the dataplane's sender, the ncm's reader.

One stream per region, kept in files by as many nodes as `replicas` says, so that an acknowledged frame survives the
loss of a minority of them. Subjects: `alcor.<region>.goal.<epoch>.<shard>`, 64 of an epoch at a time (decision 0015).
"""

import asyncio
import contextlib
import random
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import msgspec
import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from alcor.telemetry.log import get_log
from alcor.telemetry.metrics import BUS_BROKER

log = get_log("bus")

CONNECT_S = 2.0
CLOSE_S = 2.0
ACK_S = 0.5
"""An acknowledgement takes milliseconds; one that takes so long does not come, or comes too late to be of use."""
HEALTHY_S = 5.0
"""So long, and up to twice as long, probes must succeed after a failure before frames are sent again."""
PROBE_S = 1.0
HEARTBEAT_S = 0.5
# What a reader may have missed at most while it was away; more is said again on the stream.
STREAM_AGE_S = 600.0
STREAM_BYTES = 256 << 20
# Frames that wait for the connection: as much as a second of everything.
_QUEUE_BYTES = 32 << 20
_HEADERS_BYTES = 1 << 10
_PROBE = b"probe"
# JetStream's error "stream name already in use with a different configuration".
_STREAM_EXISTS = 10058


class BrokerPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker is, and as whom to come there.

    servers: `nats://host:port` or `tls://host:port`, with `user:password@` where the broker asks for it.
    tls: what to prove ourselves by, and whom to believe, asked at every connection, also when the driver makes it anew.
    credentials: a file with a user's JWT and seed; empty: none. replicas: nodes that keep the stream.
    """

    servers: tuple[str, ...]
    region: str
    tls: Callable[[], ssl.SSLContext] | None = None
    credentials: str = ""
    replicas: int = 1

    @property
    def stream(self) -> str:
        """The stream's name."""
        return f"alcor-{self.region}"

    def subject(self, *parts: object) -> str:
        """A subject of the region."""
        return ".".join(["alcor", self.region, *map(str, parts)])


class _Client(Client):
    """The driver, which keeps one context for its life otherwise."""

    def __init__(self, place: BrokerPlace) -> None:
        super().__init__()
        self._place = place

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """Asked by the driver at each connection it makes."""
        return self._place.tls() if self._place.tls is not None else super().ssl_context

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        # The driver asks the server whether there is to be TLS, and goes on without; so would it with whoever stands
        # in the server's place. This is before anything of ours is said.
        if initial_connection and self._place.tls is not None and not info.get("tls_required"):
            raise nats.errors.Error(
                "the broker does not ask for TLS, which we are to have with it: nothing was said to it. Configure TLS "
                "there, or write nats:// in bus.broker and no broker_ca_file and broker_certificate_file"
            )
        await super()._process_info(info, initial_connection)


async def _connect(
    place: BrokerPlace,
    name: str,
    lost: Callable[[], None],
    back: Callable[[], None],
    failed: Callable[[str], None],
) -> Client:
    """Servers are tried in turn, in random order, for ever; who is connected stays so by itself, at whichever answers.
    `failed`: hears why not one was reached.

    Raises: OSError, nats.errors.Error, TimeoutError: the one that tells most of why no server will do.
    """
    servers = random.sample(place.servers, len(place.servers))
    failures: list[Exception] = []
    for first in range(len(servers)):
        try:
            return await _connect_once(place, servers[first:] + servers[:first], name, lost, back, failed)
        except _BROKEN as error:
            failures.append(error)
    raise max(failures, key=lambda error: isinstance(error, ssl.SSLError) or _is_unknown(error))


async def _connect_once(
    place: BrokerPlace,
    servers: list[str],
    name: str,
    lost: Callable[[], None],
    back: Callable[[], None],
    failed: Callable[[str], None],
) -> Client:
    client = _Client(place)
    unreached = 0

    async def on_lost() -> None:
        if client.options["allow_reconnect"]:
            lost()

    async def on_back() -> None:
        back()

    async def on_error(error: Exception) -> None:
        nonlocal unreached
        log.debug("broker_error", reason=_reason(error))
        if not client.options["allow_reconnect"]:
            unreached += 1
            if unreached >= len(servers):
                failed(_reason(error))

    options: dict[str, Any] = {"user_credentials": place.credentials} if place.credentials else {}
    try:
        await client.connect(
            servers,
            name=name,
            # Or the driver would try for ever, and keep the reasons to itself.
            allow_reconnect=False,
            dont_randomize=True,
            tls=place.tls() if place.tls is not None else None,
            connect_timeout=int(CONNECT_S),
            max_reconnect_attempts=-1,
            reconnect_time_wait=cast(int, 0.25),
            # A node that lost its power says no farewell.
            ping_interval=2,
            max_outstanding_pings=2,
            disconnected_cb=on_lost,
            reconnected_cb=on_back,
            error_cb=on_error,
            **options,
        )
        client.options["allow_reconnect"] = True
    except BaseException:
        # Cancelled on the way, it would keep its socket.
        await _close(client)
        raise
    return client


async def _close(client: Client) -> None:
    """End a connection; what a node that answers no more has not taken by then is lost with it."""
    # One whose options were refused was never begun: the driver asserts that it was.
    with contextlib.suppress(*_BROKEN, AssertionError):
        async with asyncio.timeout(CLOSE_S):
            await client.close()


def _end_if_cancelled() -> None:
    """In every loop that waits by the driver: end, if we were cancelled and it kept that to itself.

    It waits by `asyncio.wait_for`, which before Python 3.12 drops a cancellation that comes together with the answer.
    Raises: CancelledError.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _is_unknown(error: BaseException) -> bool:
    # The driver has a class for it, and does not use it while it connects.
    return (
        isinstance(error, nats.errors.AuthorizationError) or "authorization violation" in str(error).lower()
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the broker's certificate is not believed ({error.verify_message}): bus.broker_ca_file must name the "
            "authority that signed it, and bus.broker the server as the certificate does"
        )
    if isinstance(error, ssl.SSLError):
        return (
            f"no TLS with the broker ({error.reason or error}): it may want a certificate of ours, which "
            "bus.broker_certificate_file and bus.broker_key_file name, of an authority that it believes"
        )
    if _is_unknown(error):
        return "the broker does not know us: it must have a user for our certificate, or for the password in bus.broker"
    if isinstance(error, nats.errors.NoRespondersError | nats.js.errors.ServiceUnavailableError):
        return (
            "nobody answers for JetStream: the broker's servers must have it, and a majority of them must run"
        )
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError | socket.gaierror):
        return f"the broker cannot be reached: {error}"
    if isinstance(error, nats.js.errors.APIError) and error.description:
        return error.description
    return str(error) or type(error).__name__


_BROKEN = (OSError, nats.errors.Error, TimeoutError)


async def ensure_stream(context: JetStreamContext, place: BrokerPlace) -> None:
    """Have the region's stream be there, as it is to be. Raises: nats.errors.Error (too few nodes, no JetStream …)."""
    wanted = StreamConfig(
        name=place.stream,
        subjects=[place.subject(">")],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        storage=StorageType.FILE,
        num_replicas=place.replicas,
        max_age=STREAM_AGE_S,
        max_bytes=STREAM_BYTES,
        # No frame is sent twice.
        duplicate_window=1,
    )
    try:
        await context.add_stream(wanted)
    except nats.js.errors.BadRequestError as error:
        if error.err_code != _STREAM_EXISTS:
            raise
        await context.update_stream(wanted)  # made by another version, or with other replicas


class BrokerSender:
    """Implements `Sender`. `run` it in one task; `failed` is called at each loss, with the reason.

    Never blocks: frames wait in memory for the connection, at most 32 MiB of them and no longer than `ack_s`; then, as
    when an acknowledgement does not come in time, the broker counts as lost until probes have succeeded for a while.
    """

    def __init__(
        self,
        place: BrokerPlace,
        *,
        random: Callable[[], float],
        ack_s: float = ACK_S,
        healthy_s: float = HEALTHY_S,
        probe_s: float = PROBE_S,
    ) -> None:
        self._place, self._random = place, random
        self._ack_s, self._healthy_s, self._probe_s = ack_s, healthy_s, probe_s
        self._queue: deque[tuple[str, bytes, float]] = deque()
        self._octets = 0
        self._queued = asyncio.Event()
        self._client: Client | None = None
        self._awaited: set[asyncio.Task[None]] = set()
        self._well_since: float | None = None
        self._has_failed = False
        self.failed: Callable[[str], None] = lambda _reason: None
        self.is_well = False
        """As `Sender.is_well`."""
        self.trouble = "the broker was not tried yet"
        """Why frames are not sent; empty while they are."""

    @property
    def payload_max(self) -> int:
        """As `Sender.payload_max`: what the node we are connected to takes."""
        return self._client.max_payload - _HEADERS_BYTES if self._client is not None else 0

    def send(self, epoch: int, shard: int, payload: bytes) -> None:
        """As `Sender.send`."""
        loop = asyncio.get_running_loop()
        subject = self._place.subject("goal", epoch, shard)
        self._queue.append((subject, payload, loop.time() + self._ack_s))
        self._octets += len(payload)
        if self._octets > _QUEUE_BYTES:
            # After the turn that this frame is of.
            loop.call_soon(self._fail, "the broker takes frames more slowly than they are made")
        self._queued.set()

    async def run(self) -> None:
        """Connect, and send whenever the broker is well, until cancelled."""
        try:
            while True:
                try:
                    await self._serve()
                except Exception as error:  # the loop's edge: whatever a broker does, the streams go on
                    self._fail(_reason(error))
                _end_if_cancelled()
                await asyncio.sleep(self._probe_s * (0.5 + self._random()))
        finally:
            self.is_well = False
            BUS_BROKER.set(0)
            for task in self._awaited:
                task.cancel()
            await asyncio.gather(*self._awaited, return_exceptions=True)

    async def _serve(self) -> None:
        """One connection: the stream is made, then probes and frames go out. Raises: what ends it."""
        lost = "the connection to the broker was lost"
        closing = False
        client = await _connect(
            self._place,
            "alcor-dataplane",
            lambda: None if closing else self._fail(lost),
            lambda: None,
            self._fail,
        )
        self._client = client
        context = client.jetstream(timeout=max(self._ack_s, CONNECT_S))
        sending = asyncio.create_task(self._send_queued(client), name="broker-send")
        try:
            await ensure_stream(context, self._place)
            await self._probe_on(context)
        finally:
            closing = True
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            self._client = None
            await _close(client)

    async def _probe_on(self, context: JetStreamContext) -> None:
        """Write a probe now and then: it tells whether a majority of the nodes takes what we write."""
        loop = asyncio.get_running_loop()
        wait_s = 0.0
        while True:
            try:
                await context.publish(self._place.subject("probe"), _PROBE, timeout=self._ack_s)
            except nats.js.errors.NoStreamResponseError:
                raise  # the stream is gone: begin anew, and make it
            except _BROKEN as error:
                self._fail(f"the broker did not take a probe: {_reason(error)}")
            else:
                if self._well_since is None:
                    # The first time at once; after a failure not before it has been well for a while.
                    self._well_since = loop.time()
                    wait_s = self._healthy_s * (1 + self._random()) if self._has_failed else 0.0
                if not self.is_well and loop.time() - self._well_since >= wait_s:
                    self.is_well, self.trouble = True, ""
                    BUS_BROKER.set(1)
                    log.info("broker_taken", stream=self._place.stream, replicas=self._place.replicas)
            _end_if_cancelled()
            await asyncio.sleep(self._probe_s)

    async def _send_queued(self, client: Client) -> None:
        while True:
            await self._queued.wait()
            self._queued.clear()
            while self._queue:
                subject, payload, deadline = self._queue.popleft()
                self._octets -= len(payload)
                task = asyncio.create_task(self._send_one(client, subject, payload, deadline))
                self._awaited.add(task)
                task.add_done_callback(self._awaited.discard)

    async def _send_one(self, client: Client, subject: str, payload: bytes, deadline: float) -> None:
        within_s = deadline - asyncio.get_running_loop().time()
        try:
            if within_s <= 0 or not client.is_connected:
                raise TimeoutError
            answer = await client.request(subject, payload, timeout=within_s)
            said = msgspec.json.decode(answer.data)
            if "error" in said:
                self._fail(f"the broker refused a frame: {said['error'].get('description', 'no reason')}")
        except _BROKEN:
            self._fail(f"the broker did not acknowledge a frame within {self._ack_s:g} s")
        except msgspec.DecodeError as error:
            self._fail(f"the broker's answer cannot be read: {error}")

    def _fail(self, reason: str) -> None:
        self._well_since = None
        self._has_failed = True
        self._queue.clear()
        self._octets = 0
        if reason != self.trouble:
            self.trouble = reason
            log.warning("broker_lost", reason=reason)
        if self.is_well:
            self.is_well = False
            BUS_BROKER.set(0)
            self.failed(reason)


class BrokerReader:
    """Implements `FrameReader`: an ordered consumer that goes on after what it read last, whatever was lost meanwhile.

    It has no state on the broker that outlives it, and acknowledges nothing: who misses frames asks the dataplane.
    """

    def __init__(
        self, place: BrokerPlace, *, random: Callable[[], float], heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        self._place, self._random, self._heartbeat_s = place, random, heartbeat_s
        self._sequence = 0
        self._again = False
        self.is_well = False
        """As `FrameReader.is_well`."""
        self.trouble = "the broker was not tried yet"
        """As `FrameReader.trouble`."""

    async def run(self, take: Callable[[bytes], None]) -> None:
        """As `FrameReader.run`."""
        try:
            while True:
                try:
                    await self._serve(take)
                except Exception as error:  # the loop's edge: whatever a broker does, the streams go on
                    self._fail(_reason(error))
                _end_if_cancelled()
                await asyncio.sleep(self._heartbeat_s * (0.5 + self._random()))
        finally:
            self.is_well = False

    def _fail(self, reason: str) -> None:
        self.is_well = False
        if reason != self.trouble:
            self.trouble = reason
            log.warning("broker_lost", reason=reason)

    def _lose(self) -> None:
        self._fail("the connection to the broker was lost")

    def _come_back(self) -> None:
        # Frames may have been lost on the way: begin after the last one that was read.
        self._again = True

    async def _serve(self, take: Callable[[bytes], None]) -> None:
        """One connection, and one consumer after the other. Raises: what ends it."""
        closing = False
        client = await _connect(
            self._place,
            "alcor-ncm",
            lambda: None if closing else self._lose(),
            self._come_back,
            self._fail,
        )
        try:
            while True:
                async with self._consumer(client) as (subscription, ended):
                    await self._read(client, subscription, take)
                    _end_if_cancelled()
                    await ended()
        finally:
            closing = True
            await _close(client)

    @contextlib.asynccontextmanager
    async def _consumer(
        self, client: Client
    ) -> AsyncIterator[tuple[Subscription, Callable[[], Awaitable[None]]]]:
        """A consumer that begins after the last frame read, or with the next one that is published."""
        manager = client.jsm(timeout=CONNECT_S)
        try:
            last = (await manager.stream_info(self._place.stream)).state.last_seq
        except nats.js.errors.NotFoundError as error:
            raise ConnectionError(
                f"the broker has no stream {self._place.stream}: a dataplane with the same bus.broker and "
                "bus.broker_region makes it"
            ) from error
        if self._sequence > last:
            self._sequence = 0  # another stream was put in its place
        subscription = await client.subscribe(client.new_inbox())
        begin = self._sequence + 1 if self._sequence else last + 1
        try:
            await manager.add_consumer(
                self._place.stream,
                ConsumerConfig(
                    deliver_subject=subscription.subject,
                    deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                    opt_start_seq=begin,
                    ack_policy=AckPolicy.NONE,
                    filter_subject=self._place.subject("goal", ">"),
                    flow_control=True,
                    idle_heartbeat=self._heartbeat_s,
                    inactive_threshold=10 * self._heartbeat_s,
                    mem_storage=True,
                    num_replicas=1,
                ),
            )
            self._again = False

            async def pause() -> None:
                await asyncio.sleep(self._heartbeat_s * self._random())

            yield subscription, pause
        finally:
            with contextlib.suppress(*_BROKEN):
                await subscription.unsubscribe()

    async def _read(self, client: Client, subscription: Subscription, take: Callable[[bytes], None]) -> None:
        """Take frames until the consumer is silent for too long, or one is missing."""
        count = 0
        while not self._again:
            try:
                message = await subscription.next_msg(timeout=4 * self._heartbeat_s)
            except TimeoutError:
                self._fail("the broker is silent")
                return
            _end_if_cancelled()
            if message.headers and message.headers.get("Status"):
                if not await self._obey(client, message, count):
                    return
                continue
            sequence = message.metadata.sequence
            if sequence.consumer != count + 1:
                return  # one was lost on the way: again, after the last that came
            count, self._sequence = sequence.consumer, sequence.stream
            take(message.data)

    async def _obey(self, client: Client, message: Msg, count: int) -> bool:
        """A word of the broker itself; False if it says that a frame was lost, or that the consumer is gone."""
        headers = message.headers or {}
        if headers.get("Status") != "100":
            self._fail(headers.get("Description") or "the broker ended the consumer")
            return False
        asked = message.reply or headers.get("Nats-Consumer-Stalled")
        if asked:
            await client.publish(asked)
        if int(headers.get("Nats-Last-Consumer") or count) > count:
            return False
        if not self.is_well:
            # Heard from it: what is published from now on will come.
            self.is_well, self.trouble = True, ""
            log.info("broker_read", stream=self._place.stream, after=self._sequence)
        return True
