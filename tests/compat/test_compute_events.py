"""What a compute service hears of its servers' ports: a real Keystone, a region, a host, tokens as they travel."""

import asyncio
import json
import queue
import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from alcor.agent.service import Agent
from alcor.agent.simulated import SimulatedSwitch
from alcor.bus.codec import ProtobufCodec
from alcor.bus.grpc_client import GrpcConnector
from tests.compat.cloud import Cloud, running_cloud
from tests.compat.keystone import ADMIN_PASSWORD
from tests.support.ovs import eventually

pytestmark = pytest.mark.compat
WAIT_S = 30


@dataclass
class Compute:
    """A compute service that takes notes. `down`: requests it still answers with 503."""

    url: str = ""
    down: int = 0
    cloud: Cloud | None = None
    heard: "queue.Queue[dict[str, Any]]" = field(default_factory=queue.Queue)

    def take(self, token: str, body: dict[str, Any]) -> None:
        """Note each event, whose token it came with, and the status its port has at this moment."""
        assert self.cloud is not None
        asking = self.cloud.keystone.token("admin", ADMIN_PASSWORD, "admin")
        user = self.cloud.keystone.whose(token, asking)
        with self.cloud.client() as api:
            for event in body["events"]:
                ports = api.show(f"v2.0/ports?id={event['tag']}")["ports"]
                status = ports[0]["status"] if ports else "gone"
                self.heard.put({"event": event, "user": user, "status": status})

    async def next(self) -> dict[str, Any]:
        """The next event."""
        return await asyncio.to_thread(self.heard.get, True, WAIT_S)


@contextmanager
def compute_service() -> Iterator[Compute]:
    """A compute API on loopback that has the one path."""
    compute = Compute()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if compute.down:
                compute.down -= 1
                self._answer(503, {})
                return
            compute.take(self.headers["X-Auth-Token"], body)
            events = [{**event, "code": 200} for event in body["events"]]
            known = self.path == "/v2.1/os-server-external-events"
            self._answer(200 if known else 404, {"events": events})

        def _answer(self, status: int, document: Any) -> None:
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    compute.url = f"http://127.0.0.1:{server.server_port}/v2.1"
    try:
        yield compute
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_a_server_s_port_from_its_plug_to_its_end(tmp_path: Path) -> None:
    """The compute service found in the catalogue hears, with a service's token, of each step once: plugged when the
    port shows ACTIVE and not before, also after it was away; changed when an address changes; deleted."""
    with compute_service() as compute, running_cloud(tmp_path, {"compute": {"notify": True}}) as cloud:
        compute.cloud = cloud
        cloud.keystone.add_service("compute", "nova", compute.url)
        server = str(uuid.uuid4())
        with cloud.client() as api:
            host = api.create("hosts", "host", name="compute-9", vtep_addresses=["192.0.2.9"])
            network = api.create("v2.0/networks", "network", name="red")
            subnet = {"network_id": network["id"], "ip_version": 4, "cidr": "10.9.0.0/24"}
            api.create("v2.0/subnets", "subnet", **subnet)
            owner = {"device_id": server, "device_owner": "compute:nova", "binding:host_id": "compute-9"}
            port = api.create("v2.0/ports", "port", network_id=network["id"], **owner)
        switch = SimulatedSwitch("compute-9")
        agent = Agent(
            GrpcConnector(cloud.region.agents_socket),
            switch,
            ProtobufCodec(),
            host_id=host["id"],
            token=lambda: host["token"],
            version="test",
            now_ms=lambda: time.time_ns() / 1e6,
            random=random.random,
        )
        running = asyncio.create_task(agent.run())
        try:
            with cloud.client() as api:
                health = f"hosts/{host['id']}"
                await eventually(lambda: api.show(health)["host"]["status"] == "UP", "the host is heard")
                compute.down = 2
                switch.plug(port["id"])
                plugged = await compute.next()
                api.update("v2.0/ports", "port", port["id"], name="other", fixed_ips=port["fixed_ips"])
                api.update("v2.0/ports", "port", port["id"], fixed_ips=[{"ip_address": "10.9.0.77"}])
                changed = await compute.next()
                switch.unplug(port["id"])
                unplugged = await compute.next()
                api.delete("v2.0/ports", port["id"])
                deleted = await compute.next()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    tag = {"server_uuid": server, "tag": port["id"]}
    assert plugged["event"] == {"name": "network-vif-plugged", "status": "completed", **tag}
    assert (plugged["status"], plugged["user"]) == ("ACTIVE", "alcor")
    assert changed["event"] == {"name": "network-changed", **tag}
    assert unplugged["event"] == {"name": "network-vif-unplugged", "status": "completed", **tag}
    assert deleted["event"] == {"name": "network-vif-deleted", **tag}
    assert deleted["status"] == "gone"
