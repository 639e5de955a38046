"""Prefixes as numbers: what is looked up, compared and matched many thousand times."""

from functools import lru_cache
from typing import NamedTuple

from alcor.model.address import Cidr, ip_of_int, network_of


class Entry(NamedTuple):
    """A prefix as numbers, host bits zero. Sorts IPv4 before IPv6."""

    version: int
    length: int
    value: int

    @property
    def is_host(self) -> bool:
        """Whether it is one address."""
        return self.length == width_of(self.version)

    @property
    def text(self) -> str:
        """CIDR form."""
        return f"{ip_of_int(self.value, self.version)}/{self.length}"

    def cut(self, length: int) -> "Entry":
        """The enclosing prefix of a length."""
        return Entry(self.version, length, self.value & mask_of(self.version, length))

    def encloses(self, other: "Entry") -> bool:
        """Whether all of `other` is in it."""
        return (
            self.version == other.version
            and self.length <= other.length
            and other.value & mask_of(self.version, self.length) == self.value
        )


def width_of(version: int) -> int:
    """Bits of an address."""
    return 32 if version == 4 else 128


def mask_of(version: int, length: int) -> int:
    """The mask of a prefix of that length."""
    width = width_of(version)
    return ((1 << length) - 1) << (width - length)


# Bounded by the addresses of one host's working set; a miss costs 10 µs.
@lru_cache(65_536)
def entry_of(cidr: str) -> Entry:
    """A CIDR, or an address, as numbers. Raises: ValueError."""
    network = network_of(Cidr(cidr))
    return Entry(network.version, network.prefixlen, int(network.network_address))
