"""What the compute service is told: from a real store, by the real notifier, to a compute service that takes notes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec.structs import replace

from alcor.compute.client import Rejected
from alcor.compute.event import Event, of_port
from alcor.compute.notifier import RECENT_S, Notifier
from alcor.model.change import Change
from alcor.model.host import Host
from alcor.model.network import Network
from alcor.model.port import Binding, Extra, FixedIp, Port
from alcor.store.interface import HostObservation, PortObservation, Store, Transaction, Work
from tests.support.ovs import eventually
from tests.support.store import NOW_MS, sqlite_store

SERVER = "5e5e5e5e-0000-4000-8000-000000000001"


class Notes:
    """A compute service. `down`: requests still to fail; `unknown`: servers it does not have; `refuses`: everything."""

    def __init__(self) -> None:
        self.requests: list[list[Event]] = []
        self.down = 0
        self.unknown: set[str] = set()
        self.refuses = False

    async def send(self, events: Sequence[Event]) -> Sequence[Event]:
        if self.down:
            self.down -= 1
            raise ConnectionError("away")
        if self.refuses:
            raise Rejected("never")
        self.requests.append(list(events))
        return [one for one in events if one.server_uuid in self.unknown]

    @property
    def told(self) -> list[tuple[str, str, str]]:
        """(name, port, status) of all events, in order."""
        return [(one.name, one.tag, one.status) for request in self.requests for one in request]


@asynccontextmanager
async def notifying(store: Store, compute: Notes) -> AsyncIterator[Notifier]:
    """A running notifier."""
    notifier = Notifier(store, compute, now_ms=lambda: NOW_MS, gather_s=0.0, retry_min_s=0.001)
    task = asyncio.create_task(notifier.run())
    try:
        yield notifier
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def a_port(store: Store, **changes: object) -> Port:
    """A server's port on a network of its own."""

    async def work(tx: Transaction) -> Port:
        network = tx.new_id()
        tx.insert(Network(id=network))
        fields = {
            "device_id": SERVER,
            "device_owner": "compute:nova",
            "mac_address": "02:00:00:00:00:01",
        } | changes
        port = Port(id=tx.new_id(), network_id=network, **fields)  # type: ignore[arg-type]  # a builder of known fields
        tx.insert(port)
        return await tx.get(Port, port.id)

    return (await store.write(work)).value


def seen(port: Port, status: str, **changes: object) -> PortObservation:
    """A fact of the port's present binding."""
    fact = PortObservation(
        port.id, "h", status, plugged=status != "DOWN", binding_generation=port.binding_generation
    )
    return replace(fact, **changes)


async def observe(store: Store, notifier: Notifier, *facts: PortObservation) -> None:
    """As the dataplane does: stored first, then told."""
    await store.observations.put(facts, (), term=0)
    notifier.observed(facts)


async def test_an_active_port_is_told_as_plugged(tmp_path: Path) -> None:
    """A server's port that becomes ACTIVE is told once, completed; BUILD tells nothing."""
    async with sqlite_store(tmp_path) as store:
        compute = Notes()
        port = await a_port(store)
        async with notifying(store, compute) as notifier:
            await observe(store, notifier, seen(port, "BUILD"))
            await observe(store, notifier, seen(port, "ACTIVE"))
            await eventually(lambda: len(compute.told) == 1, "events")
            await observe(store, notifier, seen(port, "ACTIVE"))
            await observe(store, notifier, seen(port, "DOWN"))
            await eventually(lambda: len(compute.told) == 2, "events")

        assert compute.told == [
            ("network-vif-plugged", port.id, "completed"),
            ("network-vif-unplugged", port.id, "completed"),
        ]


async def test_a_status_of_an_earlier_binding_is_never_told(tmp_path: Path) -> None:
    """ACTIVE that was observed of a binding that is no more would be early: it is not told; the present one's is."""
    async with sqlite_store(tmp_path) as store:
        compute = Notes()
        port = await a_port(store, binding_generation=2)
        other = await a_port(store, mac_address="02:00:00:00:00:02")
        async with notifying(store, compute) as notifier:
            await observe(store, notifier, seen(port, "ACTIVE", binding_generation=1))
            await observe(store, notifier, seen(other, "ACTIVE"))
            await eventually(lambda: len(compute.told) == 1, "events")
            assert compute.told[0][1] == other.id
            await observe(store, notifier, seen(port, "ACTIVE"))
            await eventually(lambda: len(compute.told) == 2, "events")

        assert compute.told[1] == ("network-vif-plugged", port.id, "completed")


async def test_only_servers_ports_are_told(tmp_path: Path) -> None:
    """Ports of routers, of DHCP, or of nobody are none of the compute service's business."""
    async with sqlite_store(tmp_path) as store:
        compute = Notes()
        router = await a_port(store, device_owner="network:router_interface")
        nameless = await a_port(store, device_id="not-a-server", mac_address="02:00:00:00:00:02")
        server = await a_port(store, mac_address="02:00:00:00:00:03")
        async with notifying(store, compute) as notifier:
            await observe(store, notifier, *(seen(one, "ACTIVE") for one in (router, nameless, server)))
            await eventually(lambda: bool(compute.told), "events")

        assert [port for _, port, _ in compute.told] == [server.id]


async def test_deletion_and_other_addresses_are_told(tmp_path: Path) -> None:
    """A port whose addresses change is told as changed, one deleted under its server as deleted."""
    async with sqlite_store(tmp_path) as store:
        compute = Notes()
        port = await a_port(store)

        async def rename(tx: Transaction) -> None:
            tx.update(replace(await tx.get(Port, port.id), name="other"))

        async def readdress(tx: Transaction) -> None:
            tx.update(replace(await tx.get(Port, port.id), mac_address="02:00:00:00:00:09"))

        async def delete(tx: Transaction) -> None:
            tx.delete(await tx.get(Port, port.id))

        async with notifying(store, compute) as notifier:
            await eventually(lambda: notifier.follows, "events")
            await store.write(rename)
            await store.write(readdress)
            await eventually(lambda: len(compute.told) == 1, "events")
            await store.write(delete)
            await eventually(lambda: len(compute.told) == 2, "events")

        assert compute.told == [("network-changed", port.id, ""), ("network-vif-deleted", port.id, "")]


async def test_nothing_is_lost_while_the_service_is_away(tmp_path: Path) -> None:
    """Events wait for a service that does not answer, one per name and port, and arrive when it does."""
    async with sqlite_store(tmp_path) as store:
        compute = Notes()
        compute.down = 3
        ports = [await a_port(store, mac_address=f"02:00:00:00:01:{n:02x}") for n in range(3)]
        async with notifying(store, compute) as notifier:
            for port in ports:
                await observe(store, notifier, seen(port, "ACTIVE"))
            await eventually(lambda: len(compute.told) == 3, "events")

        assert sorted(port for _, port, _ in compute.told) == sorted(port.id for port in ports)


async def test_what_the_service_refuses_is_not_repeated(tmp_path: Path) -> None:
    """A server the service does not have, or a request it rejects, is given up: others are not held back."""
    async with sqlite_store(tmp_path) as store:
        compute = Notes()
        compute.unknown.add(SERVER)
        port = await a_port(store)
        other = await a_port(store, device_id=SERVER.replace("5e", "6f", 1), mac_address="02:00:00:00:00:02")
        async with notifying(store, compute) as notifier:
            await observe(store, notifier, seen(port, "ACTIVE"))
            await eventually(lambda: len(compute.told) == 1, "events")
            compute.refuses = True
            await observe(store, notifier, seen(port, "DOWN"))
            await eventually(lambda: not notifier.waiting, "events")
            compute.refuses = False
            await observe(store, notifier, seen(other, "ACTIVE"))
            await eventually(lambda: len(compute.told) == 2, "events")

        assert [port_id for _, port_id, _ in compute.told] == [port.id, other.id]


async def test_a_restart_tells_what_was_not_told(tmp_path: Path) -> None:
    """Changes made while nobody told of them are told at the next start, and recent statuses are repeated; old ones,
    for which nobody waits any more, are not."""
    async with sqlite_store(tmp_path) as store:
        compute = Notes()
        fresh = await a_port(store)
        old = await a_port(store, mac_address="02:00:00:00:00:02")
        gone = await a_port(store, mac_address="02:00:00:00:00:03")

        async def register(tx: Transaction) -> str:
            host = Host(id=tx.new_id(), name="h")
            tx.insert(host)
            return host.id

        host_id = (await store.write(register)).value
        async with notifying(store, compute) as notifier:
            await eventually(lambda: notifier.follows, "events")
        await store.write(_deleting(gone))
        late = NOW_MS - RECENT_S * 1000 - 1
        facts = [
            seen(fresh, "ACTIVE", host_id=host_id, realized_at_ms=float(NOW_MS)),
            seen(old, "ACTIVE", host_id=host_id, realized_at_ms=float(late)),
        ]
        await store.observations.put(facts, [HostObservation(host_id, True, NOW_MS)], term=0)
        async with notifying(store, compute):
            await eventually(lambda: len(compute.told) == 2, "events")

        assert sorted(compute.told) == [
            ("network-vif-deleted", gone.id, ""),
            ("network-vif-plugged", fresh.id, "completed"),
        ]


def _deleting(port: Port) -> Work[None]:
    async def work(tx: Transaction) -> None:
        tx.delete(await tx.get(Port, port.id))

    return work


async def test_addresses_count_as_changed_with_their_subnets(tmp_path: Path) -> None:
    """Events of ports look at addresses, not at names: the pure rule, over every pair of small changes."""
    port = Port(
        id="p", network_id="n", mac_address="m", device_id=SERVER, device_owner="compute:nova", fixed_ips=()
    )
    moved = replace(port, fixed_ips=(FixedIp("s", "10.0.0.1"),))
    given_away = replace(moved, device_id=SERVER.replace("5e", "6f", 1))

    assert [one.name for one in of_port(Change("port", "p", port, moved))] == ["network-changed"]
    assert of_port(Change("port", "p", port, replace(port, name="x"))) == []
    assert of_port(Change("port", "p", port, given_away)) == []
    assert of_port(Change("port", "p", None, port)) == []


async def test_a_second_binding_that_is_ready_is_told_as_plugged(tmp_path: Path) -> None:
    """Who waits for the destination before a server moves is told once it is plugged there, if it still stands by."""
    async with sqlite_store(tmp_path) as store:
        compute = Notes()
        port = await a_port(store, extra=Extra(bindings=(Binding("there", vif_type="ovs"),)))
        other = await a_port(store, mac_address="02:00:00:00:00:02")
        async with notifying(store, compute) as notifier:
            notifier.prepared(other.id, "there")
            notifier.prepared(port.id, "elsewhere")
            notifier.prepared(port.id, "there")
            await eventually(lambda: bool(compute.told) and not notifier.waiting, "events")

        assert compute.told == [("network-vif-plugged", port.id, "completed")]
