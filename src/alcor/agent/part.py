"""Which part an agent plays for the switch it programs: its host's own, or a neighbour's in its place."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """`rescues`: it can rescue others, and others its switch. `rescuer_id`, `lease`: of whom programs it in the place
    of its host's own agent; empty and 0: that one itself.
    """

    rescues: bool = False
    rescuer_id: str = ""
    lease: int = 0

    @property
    def serves(self) -> bool:
        """Whether packets are answered: those of another host's VMs are not."""
        return not self.rescuer_id

    @property
    def sentence(self) -> str:
        """What the region is told of it; empty if it is nothing special."""
        if self.serves:
            return ""
        return f"programmed by host {self.rescuer_id}; DHCP, RA and other handlers are not served"


OWN = Part()
