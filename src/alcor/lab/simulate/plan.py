"""What is simulated: how many hosts, which networks of what size, and on which hosts a network's ports are.

Everything follows from the plan's numbers and its seed, so that a run can be had again.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, ip_address

from alcor.lab.command import LabError

# The benchmark range (RFC 2544): no packet ever leaves the process.
_VTEPS = IPv4Network("198.18.0.0/15")
HOSTS_MAX = 100_000
PORTS_MAX = 10_000_000
# Ports of one network on one of its hosts, unless there are too few hosts: as instances of one tenant are packed.
DENSITY = 10
# Networks up to this size use their project's default group, whose members every host of the network learns.
DEFAULT_GROUP_PORTS_MAX = 1_000


class Flows(StrEnum):
    """On which hosts the pipeline computes flows. ALL keeps them folded, whole on the audited hosts."""

    ALL = "all"
    SAMPLE = "sample"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """One network. `hosts`: indexes of the hosts that have ports of it, `ports` dealt out to them in turn.

    `silent`: indexes of hosts without agents; they have all ports but `local` of each of `hosts`.
    """

    number: int
    ports: int
    hosts: tuple[int, ...]
    silent: tuple[int, ...] = ()
    local: int = 0

    def host_of(self, place: int) -> int:
        """The index of the host that has its `place`-th port."""
        count = len(self.hosts)
        if self.silent and place >= self.local * count:
            return self.silent[place % len(self.silent)]
        return self.hosts[place % count]

    @property
    def name(self) -> str:
        """Its name in the region."""
        return f"sim-net-{self.number:05}"

    @property
    def project(self) -> str:
        """Its own project, so that networks share no default group."""
        return f"{self.number + 1:032x}"

    @property
    def cidr(self) -> str:
        """Its subnet: at least twice as large as its ports need, so that addresses are found at once."""
        length = 24
        while 1 << (32 - length) < 2 * self.ports + 16:
            length -= 1
        return f"10.0.0.0/{max(length, 8)}"

    @property
    def has_own_group(self) -> bool:
        """Whether its ports have a group by prefix, not one by members."""
        return self.ports > DEFAULT_GROUP_PORTS_MAX


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. `sizes`: ports of each network. `rate`: changes a second of workloads that churn.

    `silent`: hosts more that the region has and nobody simulates: they have what exceeds `density` ports of a network
    on each of `hosts`, whose share then is the same however large networks are. `gateways`: so many of the last hosts
    are gateway hosts, which relay large networks.
    """

    hosts: int = 1_000
    sizes: tuple[int, ...] = (100,) * 100
    flows: Flows = Flows.ALL
    sample: int = 20
    seed: int = 1
    duration_s: float = 20.0
    rate: float = 20.0
    share: float = 0.3
    density: int = DENSITY
    silent: int = 0
    gateways: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.hosts <= self.hosts_there <= HOSTS_MAX:
            raise LabError(f"--hosts {self.hosts}: between 1 and {HOSTS_MAX:,}")
        if not self.sizes or min(self.sizes) < 1 or self.ports > PORTS_MAX:
            raise LabError(f"--ports, --networks: each network needs a port, all at most {PORTS_MAX:,}")
        if not 0 <= self.gateways <= self.hosts:
            raise LabError(f"--gateways {self.gateways}: between 0 and the {self.hosts:,} hosts there are")
        if not 0 < self.share <= 1:
            raise LabError(f"--share {self.share}: more than 0, at most 1")

    @property
    def ports(self) -> int:
        """All of them."""
        return sum(self.sizes)

    @property
    def hosts_there(self) -> int:
        """All hosts of the region."""
        return self.hosts + self.silent

    def host_name(self, index: int) -> str:
        """A host's name in the region."""
        return f"sim-{index:05}"

    def is_gateway(self, index: int) -> bool:
        """Whether a host is a gateway host."""
        return self.hosts - self.gateways <= index < self.hosts

    def host_vtep(self, index: int) -> str:
        """Its address on the underlay."""
        return str(ip_address(int(_VTEPS.network_address) + 1 + index))

    def networks(self) -> Iterator[NetworkPlan]:
        """Every network; a network's hosts are neighbours of a random first one."""
        chance = random.Random(self.seed)
        for number, size in enumerate(self.sizes):
            wide = min(self.hosts, max(1, -(-size // self.density)))
            first = chance.randrange(self.hosts)
            hosts = tuple((first + step) % self.hosts for step in range(wide))
            yield NetworkPlan(number, size, hosts, tuple(range(self.hosts, self.hosts_there)), self.density)

    def sampled(self) -> tuple[str, ...]:
        """The hosts that are audited, by name."""
        count = min(self.sample, self.hosts)
        return tuple(
            self.host_name(index)
            for index in sorted(random.Random(self.seed).sample(range(self.hosts), count))
        )


def even(ports: int, networks: int) -> tuple[int, ...]:
    """The sizes of so many networks that have so many ports together."""
    networks = max(1, min(networks, ports))
    each, more = divmod(ports, networks)
    return tuple(each + (number < more) for number in range(networks))


def mixed(ports: int) -> tuple[int, ...]:
    """A third of the ports each on networks of 1,000, of 100 and of 10."""
    third = ports // 3
    sizes: list[int] = []
    for size in (1_000, 100, 10):
        count = max(1, third // size)
        sizes += [min(size, max(1, third))] * count
    return tuple(sizes)
