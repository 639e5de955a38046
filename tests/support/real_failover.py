"""A real site whose hosts watch each other, and of which one dies."""

import asyncio

from alcor.agent.driver import PatchPort, PortSpec, TunnelPort
from alcor.model.address import Ip
from alcor.pipeline.compile import groups
from alcor.pipeline.flow import GroupSpec
from alcor.pipeline.resolve import resolve
from tests.support.packet_site import Site
from tests.support.real_site import OUTSIDE, PATCH, Ear, RealSite, of_family


class FailoverSite(RealSite):
    """Make it with `a_real_site`."""

    async def watch_each_other(self) -> None:
        """Have every host watch every other, as agents do with gateway hosts; returns when all are seen alive.

        The site is to be become again: its flows depend on it.
        """
        vteps = {id: next(of_family(host.lab, 4)) for id, host in self._hosts.items()}
        for id, host in self._hosts.items():
            probes = [TunnelPort(f"bfd-{other}", "vxlan", Ip(vteps[other])) for other in vteps if other != id]
            specs: list[PortSpec] = [*probes]
            if host.patch:
                specs.append(PatchPort(PATCH, "br-ex", "wire-ex"))
            made = await host.switch.ensure_ports(specs)
            host.probes = {("vxlan", str(probe.remote)): made[probe.name] for probe in probes}
        await self._until_none(
            lambda: [id for id, host in self._hosts.items() if list(host.health.values()) != [True, True]],
            "every host to see every other",
        )
        self._site = None

    async def lose(self, host_id: str) -> None:
        """Kill a host's switch; returns when the others miss it. Then only `exchange` and `take_over` are of use."""
        lost = self._hosts.pop(host_id)
        vtep = next(of_family(lost.lab, 4))
        await lost.switch.close()
        await asyncio.to_thread(lost.lab.kill, "ovs-vswitchd")
        await self._until_none(
            lambda: [id for id, host in self._hosts.items() if host.health[vtep]], f"{host_id} to be missed"
        )

    def groups(self, host_id: str) -> dict[int, GroupSpec]:
        """The groups of a host as the present site has them."""
        assert self._site is not None
        view = resolve(self._site.states(), host_id, self._site.closed)
        return groups(view, self.allocation(host_id))

    async def take_over(self, host_id: str, site: Site) -> None:
        """One host becomes what the site says, as its agent does by itself; nothing is sent to the others."""
        await self._program(host_id, site, site.states())

    async def exchange(self, sender: str, frame: bytes, receiver: str) -> list[bytes]:
        """Send a frame, and return what has come to the receiver as soon as anything has; both may be OUTSIDE."""
        ears: dict[str, Ear] = {machine.port_id: machine for machine in self._machines.values()}
        if self._outside is not None:
            ears[OUTSIDE] = self._outside
        ears[receiver].received.clear()
        ears[sender].socket.send(frame)
        await self._until_none(lambda: [] if ears[receiver].received else [receiver], "anything to come")
        return list(ears[receiver].received)
