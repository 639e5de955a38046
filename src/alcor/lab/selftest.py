"""A throw-away VPC on the hosts at hand, and what it proves.

Everything in the region bears the run's name as its description, everything on the machine is in a ledger; the run's
end removes both, and so does the next run after a crash.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from ipaddress import ip_network
from typing import Any, NamedTuple

from alcor.lab import inside
from alcor.lab.at_hand import PROVIDED, HostAtHand
from alcor.lab.command import LabError, ip_batch
from alcor.lab.ledger import Ledger
from alcor.lab.region import Client
from alcor.lab.vm import Ping, Vm

MARK = "alcor-selftest-"
OPEN_PORT, CLOSED_PORT = 7000, 7001
METADATA = "169.254.169.254"
# Its networks are nobody else's, whatever addresses they have; these few have the own external network, if it is made.
CIDRS = ("10.255.253.0/24", "10.255.254.0/24")
OUTSIDE_CIDR = "198.51.100.0/24"
PATIENCE_S = 15.0
# A port that is ACTIVE has its flows; what waits longer does not come. A next hop outside may have to be asked for.
ANSWER_S = 4.0
_SILENCE_S = 0.5


class Outcome(StrEnum):
    """What came of a proof."""

    PROVED = "proved"
    FAILED = "failed"
    NOT_TRIED = "not tried"


class Proof(NamedTuple):
    """One line of the result. `elapsed_ms`: how long it took; `text`: what was seen, or why it was not."""

    name: str
    outcome: Outcome
    elapsed_ms: float
    text: str


class NotTried(Exception):
    """What would be needed for a proof is not there; the text says what."""


class Selftest:
    """One run. `said`: told of each proof."""

    def __init__(
        self,
        client: Client,
        hosts: Sequence[HostAtHand],
        ledger: Ledger,
        prefix: str,
        said: Callable[[Proof], None],
        *,
        external: str = "",
    ) -> None:
        """`external`: id or name of the external network to use; any that a host at hand leads to, if empty."""
        self.client, self.hosts, self._ledger, self._prefix = client, list(hosts), ledger, prefix
        self.name = f"{MARK}{secrets.token_hex(4)}"
        self.proofs: list[Proof] = []
        self._said, self._external = said, external
        self._machines: dict[str, tuple[Vm, dict[str, Any]]] = {}

    def run(self) -> bool:
        """Build, and prove one thing after the other; returns whether nothing failed. Raises: LabError."""
        self._ledger.add("intent", self.name)
        for host in self.hosts:
            host.enter()
        if not self._prove("VPC: networks, router, ports, VIFs", self._build):
            return False
        proofs: tuple[tuple[str, Callable[[], str]], ...] = (
            ("DHCP", self._dhcp),
            ("ping, same host", lambda: self._ping("near")),
            ("ping, other host", lambda: self._ping("far")),
            ("deny by security group", self._deny),
            ("route to another subnet", lambda: self._ping("routed")),
            ("DNS", self._dns),
            ("metadata", self._metadata),
            ("floating IP from outside", self._float),
        )
        for name, work in proofs:
            self._prove(name, work)
        return all(proof.outcome is not Outcome.FAILED for proof in self.proofs)

    def _prove(self, name: str, work: Callable[[], str]) -> bool:
        began = time.monotonic()
        try:
            outcome, text = Outcome.PROVED, work()
        except NotTried as reason:
            outcome, text = Outcome.NOT_TRIED, str(reason)
        except (LabError, OSError) as error:
            outcome, text = Outcome.FAILED, str(error)
        proof = Proof(name, outcome, (time.monotonic() - began) * 1000, text)
        self.proofs.append(proof)
        self._said(proof)
        return outcome is Outcome.PROVED

    # --- building ------------------------------------------------------------------------------------------

    def _make(self, collection: str, member: str, **attributes: Any) -> dict[str, Any]:
        return self.client.create(f"v2.0/{collection}", member, description=self.name, **attributes)

    def _build(self) -> str:
        subnets, networks = [], []
        for number, cidr in enumerate(CIDRS, start=1):
            network = self._make("networks", "network", name=f"{self.name}-{number}")
            subnets.append(
                self._make("subnets", "subnet", network_id=network["id"], ip_version=4, cidr=cidr)["id"]
            )
            networks.append(network["id"])
        group = self._make("security-groups", "security_group", name=self.name)
        for rule in (
            {"protocol": "icmp"},
            {"protocol": "tcp", "port_range_min": OPEN_PORT, "port_range_max": OPEN_PORT},
        ):
            said = {"direction": "ingress", "ethertype": "IPv4", "security_group_id": group["id"], **rule}
            self.client.create("v2.0/security-group-rules", "security_group_rule", **said)
        self._router = self._make("routers", "router", name=self.name)
        for subnet_id in subnets:
            self.client.put(f"v2.0/routers/{self._router['id']}/add_router_interface", subnet_id=subnet_id)
        first, last = self.hosts[0], self.hosts[-1]
        self._boot("one", first, networks[0], group["id"])
        self._boot("near", first, networks[0], group["id"])
        if last is not first:
            self._boot("far", last, networks[0], group["id"])
        self._boot("routed", last, networks[1], group["id"])
        return f"{len(self._machines)} machines on {', '.join(host.name for host in {first: 1, last: 1})}"

    def _boot(self, name: str, host: HostAtHand, network_id: str, group_id: str) -> None:
        port = self._make(
            "ports",
            "port",
            network_id=network_id,
            name=f"{self.name}-{name}",
            dns_name=name,
            security_groups=[group_id],
            device_owner="compute:selftest",
            device_id=f"{self.name}-{name}",
        )
        vm = Vm(self._prefix, name, host, self._ledger)
        vm.create(port["mac_address"])
        vm.plug(port["id"])
        self.client.update("v2.0/ports", "port", port["id"], **{"binding:host_id": host.name})
        self._until(f"port {name} to become ACTIVE on {host.name}", lambda: self._is_active(port["id"]))
        vm.up()
        self._machines[name] = vm, port

    def _is_active(self, port_id: str) -> bool:
        return bool(self.client.show(f"v2.0/ports/{port_id}?fields=status")["port"]["status"] == "ACTIVE")

    @staticmethod
    def _until(what: str, holds: Callable[[], bool], *, patience_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + patience_s
        while not holds():
            if time.monotonic() > deadline:
                raise LabError(f"waited {patience_s:.0f} s in vain for {what}")
            time.sleep(0.02)

    def _vm(self, name: str) -> Vm:
        if name not in self._machines:
            raise NotTried("needs a second host at hand")
        return self._machines[name][0]

    def _ip(self, name: str) -> str:
        return str(self._machines[name][1]["fixed_ips"][0]["ip_address"])

    # --- proofs --------------------------------------------------------------------------------------------

    def _dhcp(self) -> str:
        for name, (vm, _) in self._machines.items():
            vm.dhcp()
            if vm.addresses() != [self._ip(name)]:
                raise LabError(f"{name} has {vm.addresses()}, its port has {self._ip(name)}")
        return f"{len(self._machines)} leases, MTU and routes"

    def _ping(self, name: str) -> str:
        self._vm(name)
        one = self._vm("one")
        found = self._answer(one, self._ip(name), lambda: self._why(name))
        return f"{self._ip('one')} → {self._ip(name)} in {found.rtt_ms:.2f} ms"

    def _answer(self, machine: Vm, address: str, why: Callable[[], str]) -> Ping:
        """The first answer, and three that follow without a loss."""
        try:
            self._until(
                f"an answer of {address}",
                lambda: machine.ping(address, count=1, wait_s=_SILENCE_S).received == 1,
                patience_s=ANSWER_S,
            )
        except LabError as error:
            raise LabError(f"{error}{why()}") from error
        found = machine.ping(address)
        if found.received != found.sent:
            raise LabError(f"{address} answered {found.received} of {found.sent} pings{why()}")
        return found

    def _why(self, name: str) -> str:
        """What a trace says of it, to follow a sentence."""
        ports = {"port_id": self._machines["one"][1]["id"], "destination_ip": self._ip(name), "actual": True}
        try:
            found = self.client.post("v2.0/traces", "trace", **ports)
        except LabError:
            return ""
        cause = f" [{found['cause']}]" if found["cause"] else ""
        differs = [look["host"] for look in found["actual"] if look["agrees"] is False]
        return f"; by the trace {found['text']}{cause}" + "".join(
            f", but the switch of {name} differs" for name in differs
        )

    def _deny(self) -> str:
        one, near, address = self._vm("one"), self._vm("near"), self._ip("near")
        with inside.listen(near.namespace, "", OPEN_PORT), inside.listen(near.namespace, "", CLOSED_PORT):
            inside.connect(one.namespace, address, OPEN_PORT).close()
            try:
                inside.connect(one.namespace, address, CLOSED_PORT, patience_s=_SILENCE_S).close()
            except OSError:
                return f"TCP {OPEN_PORT} passes, {CLOSED_PORT} does not"
        raise LabError(f"TCP {CLOSED_PORT} passes, though no rule allows it")

    def _dns(self) -> str:
        one = self._vm("one")
        lease = one.lease()
        servers, domain = lease.get("dns", "").split(), lease.get("domain", "")
        if not servers:
            raise LabError("DHCP named no name server")
        name = f"near.{domain}" if domain else "near"
        found: list[str] = []

        def is_found() -> bool:
            found[:] = inside.resolve(one.namespace, servers[0], name)
            return bool(found)

        self._until(f"an answer of {servers[0]}", is_found, patience_s=ANSWER_S)
        if found != [self._ip("near")]:
            raise LabError(f"{name} is {found}, its port has {self._ip('near')}")
        return f"{name} is {found[0]}, says {servers[0]}"

    def _metadata(self) -> str:
        port = self._machines["one"][1]
        found = inside.fetch(self._vm("one").namespace, METADATA, "/latest/meta-data/instance-id")
        if found != port["device_id"]:
            raise LabError(f"the instance is {port['device_id']}, {METADATA} says {found}")
        return f"{METADATA} says {found}"

    def _float(self) -> str:
        host, network = self._way_out()
        outer = next(
            (
                self.client.show(f"v2.0/subnets/{id}")["subnet"]
                for id in network["subnets"]
                if ":" not in self.client.show(f"v2.0/subnets/{id}")["subnet"]["cidr"]
            ),
            None,
        )
        if outer is None:
            raise NotTried(f"the external network {network['name']} has no IPv4 subnet")
        self.client.update(
            "v2.0/routers",
            "router",
            self._router["id"],
            external_gateway_info={"network_id": network["id"]},
        )
        port_id = self._machines["one"][1]["id"]
        floating = self._make("floatingips", "floatingip", floating_network_id=network["id"], port_id=port_id)
        port = self._make("ports", "port", network_id=network["id"], name=f"{self.name}-outside")
        machine = Vm(self._prefix, "outside", host, self._ledger)
        machine.create(port["mac_address"])
        physical = str(network["provider:physical_network"])
        machine.plug_outside(host.mappings[physical], int(network["provider:segmentation_id"] or 0))
        bits = ip_network(outer["cidr"]).prefixlen
        own = next(each["ip_address"] for each in port["fixed_ips"] if ":" not in each["ip_address"])
        ip_batch(["link set eth0 up", f"addr add {own}/{bits} dev eth0"], machine.namespace)
        public = str(floating["floating_ip_address"])
        found = self._answer(machine, public, str)
        return f"{own} → {public} ({self._ip('one')}) in {found.rtt_ms:.2f} ms"

    def _way_out(self) -> tuple[HostAtHand, dict[str, Any]]:
        """An external network, and a host at hand that leads to it; the first machine's if it can be."""
        networks = self.client.show("v2.0/networks?router:external=true")["networks"]
        if self._external:
            networks = [each for each in networks if self._external in (each["id"], each["name"])]
            if not networks:
                raise NotTried(f"there is no external network '{self._external}'")
        for network in networks:
            if network.get("provider:network_type") in PROVIDED and network["subnets"]:
                for host in self.hosts:
                    if network["provider:physical_network"] in host.mappings:
                        return host, network
        if networks:
            raise NotTried("no host at hand has a bridge to an external network")
        return self._own_way_out()

    def _own_way_out(self) -> tuple[HostAtHand, dict[str, Any]]:
        host = next((each for each in self.hosts if each.mappings), None)
        if host is None:
            raise NotTried("there is no external network, and no host at hand has a provider bridge")
        network = self._make(
            "networks",
            "network",
            name=f"{self.name}-outside",
            **{
                "router:external": True,
                "provider:network_type": "flat",
                "provider:physical_network": min(host.mappings),
            },
        )
        self._make("subnets", "subnet", network_id=network["id"], ip_version=4, cidr=OUTSIDE_CIDR)
        return host, dict(self.client.show(f"v2.0/networks/{network['id']}")["network"])


def remove_intent(client: Client, name: str) -> int:
    """Delete everything in the region that bears this description; returns how many things. Raises: LabError."""
    removed = _delete_all(client, "floatingips", name)
    for router in _named(client, "routers", name):
        for port in client.show(f"v2.0/ports?device_id={router['id']}")["ports"]:
            if port["device_owner"].startswith("network:router_interface"):
                client.put(f"v2.0/routers/{router['id']}/remove_router_interface", port_id=port["id"])
    for collection in ("routers", "ports", "networks", "security-groups"):
        removed += _delete_all(client, collection, name)
    return removed


def _delete_all(client: Client, collection: str, name: str) -> int:
    rows = _named(client, collection, name)
    for row in rows:
        client.delete(f"v2.0/{collection}", row["id"])
    return len(rows)


def _named(client: Client, collection: str, name: str) -> list[dict[str, Any]]:
    return list(client.show(f"v2.0/{collection}?description={name}")[collection.replace("-", "_")])
