"""A region as a process of the laboratory, and a client of its public API."""

import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import orjson

from alcor.lab.command import LabError, start, tail, wait_until
from alcor.lab.ledger import Ledger

DEFAULT_API = "127.0.0.1:9696"
DEFAULT_AGENTS = "127.0.0.1:9697"


class RegionProcess:
    """`alcor up` on a data folder of the laboratory."""

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        *,
        api: str = "",
        agents: str = "",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`settings`: what its environment says besides ours, at every start."""
        self.data = folder / "region"
        self.log = folder / "region.log"
        self._ledger = ledger
        self._settings = settings
        self._api, self._agents = api or "127.0.0.1:0", agents or "127.0.0.1:0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *flags: str) -> None:
        """Start it and return at once; `ready` waits."""
        self._process = start(
            self._ledger,
            *(sys.executable, "-m", "alcor.cli.main", "up", "--data", str(self.data)),
            *("--listen", self._api, "--agents-listen", self._agents, *flags),
            log=self.log,
            env=self._settings,
        )

    def ready(self) -> None:
        """Wait until it serves. Raises: LabError with the end of its log."""
        wait_until("the region", self._serving_or_ended)
        if not (self.data / "region.json").exists():
            raise LabError(f"the region did not start:\n{tail(self.log)}")

    def _serving_or_ended(self) -> bool:
        assert self._process is not None
        return (self.data / "region.json").exists() or self._process.poll() is not None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def endpoint(self) -> str:
        """The URL of its API."""
        return str(orjson.loads((self.data / "region.json").read_bytes())["endpoint"])

    @property
    def agents_socket(self) -> str:
        """Where agents in network namespaces attach."""
        return f"unix:{self.data / 'agents.sock'}"

    @property
    def token(self) -> str:
        """The admin token it made."""
        return (self.data / "admin.token").read_text().strip()

    def client(self) -> "Client":
        """A client of its API with the admin token."""
        return Client(self.endpoint, self.token)

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        (self.data / "region.json").unlink(missing_ok=True)

    def stop(self) -> int:
        """Ask it to end (SIGTERM) and return its exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait()


class Client:
    """The public API as the laboratory uses it: one call per method, errors as sentences."""

    def __init__(self, endpoint: str, token: str, *, http: httpx.Client | None = None) -> None:
        """`http`: a client that is already there, instead of endpoint and token."""
        self._http = http or httpx.Client(base_url=endpoint, headers={"X-Auth-Token": token}, timeout=30)

    def create(self, collection: str, member: str, **attributes: Any) -> dict[str, Any]:
        """POST one resource, e.g. `create("v2.0/networks", "network", name="red")`."""
        return dict(self._call("POST", f"/{collection}", {member: attributes})[member])

    def create_many(
        self, collection: str, members: str, bodies: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """POST several resources of one kind, all or none."""
        return list(self._call("POST", f"/{collection}", {members: bodies})[members])

    def update(self, collection: str, member: str, id: str, **attributes: Any) -> dict[str, Any]:
        """PUT changes of one resource."""
        return dict(self._call("PUT", f"/{collection}/{id}", {member: attributes})[member])

    def put(self, path: str, **body: Any) -> dict[str, Any]:
        """PUT an action of a resource, e.g. `put("v2.0/routers/<id>/add_router_interface", subnet_id="…")`."""
        return dict(self._call("PUT", f"/{path}", body))

    def post(self, path: str, member: str, **attributes: Any) -> dict[str, Any]:
        """POST a question that makes nothing, e.g. `post("v2.0/traces", "trace", port_id="…")`."""
        return dict(self._call("POST", f"/{path}", {member: attributes})[member])

    def show(self, path: str) -> dict[str, Any]:
        """GET a document."""
        return dict(self._call("GET", f"/{path}", None))

    def delete(self, collection: str, id: str) -> None:
        """DELETE one resource."""
        self._call("DELETE", f"/{collection}/{id}", None)

    def _call(self, method: str, path: str, body: Any) -> Any:
        answer = self._http.request(method, path, json=body)
        if answer.is_error:
            raise LabError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else {}

    def close(self) -> None:
        """Let go of its connections."""
        self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def free_or_any(address: str) -> str:
    """`address` if nothing listens there, else the same host with any free port (0)."""
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return f"{host}:0"
    return address
