"""The compute service's API, with a service's token. Log-in, catalogue and connections are keystoneauth's.

Source: Compute API, `POST /os-server-external-events`.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from keystoneauth1 import adapter, exceptions, session
from keystoneauth1.identity import v3

from alcor.compute.event import Event

_PATH = "/os-server-external-events"
# A connection that hangs must not hold the events of others for longer.
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class ComputeAccount:
    """Who we are to Keystone, and where the compute service is. `url` "": as the catalogue says."""

    auth_url: str
    username: str
    password: str
    project_name: str
    user_domain_name: str
    project_domain_name: str
    region_name: str = ""
    interface: str = "internal"
    url: str = ""
    ca_file: str = ""
    timeout_s: float = TIMEOUT_S


class Rejected(Exception):
    """The compute service does not want these events: sending them again is of no use."""


class Compute(Protocol):
    """Who takes events."""

    async def send(self, events: Sequence[Event]) -> Sequence[Event]:
        """Deliver them. Returns: those the service did not take, because it has no such server.

        Raises: ConnectionError if it may take them later; Rejected if never.
        """


class NovaClient:
    """Implements `Compute`. One request at a time: its session blocks, in a thread of its own."""

    def __init__(self, account: ComputeAccount) -> None:
        auth = v3.Password(
            auth_url=account.auth_url,
            username=account.username,
            password=account.password,
            project_name=account.project_name,
            user_domain_name=account.user_domain_name,
            project_domain_name=account.project_domain_name,
        )
        self._session = session.Session(auth, verify=account.ca_file or True, timeout=account.timeout_s)
        self._adapter = adapter.Adapter(
            self._session,
            service_type="compute",
            interface=account.interface,
            region_name=account.region_name or None,
            endpoint_override=account.url or None,
        )

    async def send(self, events: Sequence[Event]) -> Sequence[Event]:
        """One request."""
        return await asyncio.to_thread(self._post, events)

    def close(self) -> None:
        """End the connections."""
        self._session.session.close()

    def _post(self, events: Sequence[Event]) -> Sequence[Event]:
        body = {"events": [event.document() for event in events]}
        try:
            answer = self._adapter.post(_PATH, json=body, raise_exc=False)
        except exceptions.ClientException as error:
            raise ConnectionError(f"the compute service cannot be asked: {error}") from error
        # 404: it knows none of the servers. 207: it knows some of them; each event has a code.
        if answer.status_code == 404:
            return events
        if answer.status_code == 207:
            return _refused(events, answer.json())
        if answer.status_code == 200:
            return ()
        if answer.status_code in (401, 403, 408, 429) or answer.status_code >= 500:
            raise ConnectionError(f"the compute service answered {answer.status_code}")
        raise Rejected(f"the compute service answered {answer.status_code}: {answer.text[:500]}")


def _refused(events: Sequence[Event], body: dict[str, Any]) -> list[Event]:
    """Which of the events have a code that is no success."""
    codes = {
        (one.get("name"), one.get("server_uuid"), one.get("tag")): one.get("code", 200)
        for one in body.get("events", [])
    }
    return [one for one in events if codes.get((one.name, one.server_uuid, one.tag), 200) != 200]
