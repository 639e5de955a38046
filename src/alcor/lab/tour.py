"""What the demo shows beside pings: why a packet does not arrive, and the edge and the services of the region."""

import shutil
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from alcor.lab import inside
from alcor.lab.command import LabError
from alcor.lab.inside import Conversation
from alcor.lab.outside import ADDRESS
from alcor.lab.plan import PlannedVm
from alcor.lab.region import Client
from alcor.lab.site import Site
from alcor.lab.vm import Vm

METADATA = "169.254.169.254"
_PORT = 7000


class Cause(NamedTuple):
    """Why a machine does not reach another. `agrees`: whether the switches do what is traced; None: not asked."""

    source: str
    target: str
    code: str
    text: str
    agrees: bool | None


class Sight(NamedTuple):
    """One thing shown. `elapsed_ms`: how long it took."""

    what: str
    seen: str
    is_right: bool
    elapsed_ms: float


def find_cause(client: Client, source: PlannedVm, target: PlannedVm, *, actual: bool = False) -> Cause:
    """What a trace says of a ping. `actual`: have the switches say it too."""
    found = client.post(
        "v2.0/traces", "trace", port_id=source.port_id, destination_ip=target.ip, actual=actual
    )
    return Cause(source.name, target.name, found["cause"] or found["verdict"], found["text"], found["agrees"])


class Tour:
    """The edge and the services, seen from the demo's machines."""

    def __init__(
        self, site: Site, vms: dict[str, Vm], plan: dict[str, PlannedVm], floating: dict[str, Any]
    ) -> None:
        """`floating`: the floating IP of red-1."""
        assert site.outside is not None
        self._outside, self._vms, self._plan = site.outside, vms, plan
        self.public = str(floating["floating_ip_address"])

    def sights(self) -> list[Sight]:
        """Everything, in order."""
        return [
            _sight("outside → floating IP of red-1", self._float_in),
            _sight("red-1 → outside, seen as its floating IP", lambda: self._seen_as("red-1")),
            _sight("blue-2 → outside, seen as the router", lambda: self._seen_as("blue-2")),
            _sight("red-1 asks for blue-3 by name", self._name),
            _sight(f"red-1 asks {METADATA} who it is", self._metadata),
        ]

    def _float_in(self) -> tuple[str, bool]:
        found = self._outside.ping(self.public)
        return f"{self.public} answers in {found.rtt_ms or 0:.2f} ms", found.received == found.sent

    def _seen_as(self, name: str) -> tuple[str, bool]:
        with Conversation(self._vms[name].namespace, self._outside.namespace, ADDRESS, _PORT) as talking:
            own = self._plan[name].ip
            is_right = talking.works() and ((talking.seen == self.public) == (name == "red-1"))
            return f"TCP of {own} comes from {talking.seen}", is_right and talking.seen != own

    def _name(self) -> tuple[str, bool]:
        lease = self._vms["red-1"].lease()
        server, name = lease["dns"].split()[0], f"blue-3.{lease['domain']}"
        found = inside.resolve(self._vms["red-1"].namespace, server, name)
        return f"{name} is {', '.join(found)}, says {server}", found == [self._plan["blue-3"].ip]

    def _metadata(self) -> tuple[str, bool]:
        tool = ("curl", "-sf", "-m", "2") if shutil.which("curl") else ("busybox", "wget", "-qO-")
        url = f"http://{METADATA}/latest/meta-data/"
        found = {
            name: self._vms["red-1"].execute(*tool, url + name).strip()
            for name in ("instance-id", "public-ipv4")
        }
        text = ", ".join(f"{name} {value}" for name, value in found.items())
        return f"{tool[0]}: {text}", found == {"instance-id": "red-1", "public-ipv4": self.public}


def _sight(what: str, look: Callable[[], tuple[str, bool]]) -> Sight:
    began = time.monotonic()
    try:
        seen, is_right = look()
    except (LabError, OSError, KeyError, IndexError) as error:
        seen, is_right = f"{type(error).__name__}: {error}", False
    return Sight(what, seen, is_right, (time.monotonic() - began) * 1000)
