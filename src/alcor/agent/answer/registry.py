"""Every packet handler of the agent, in the order in which they are asked. A feature adds its maker here."""

from collections.abc import Iterable

from alcor.agent.answer.claim import claim_handler
from alcor.agent.answer.icmp_error import icmp_error_handler
from alcor.agent.answer.next_hop import next_hop_handler
from alcor.agent.answer.router_address import router_address_handler
from alcor.agent.handler import Maker, PacketHandler, Tools

MAKERS: tuple[Maker, ...] = (
    claim_handler,
    icmp_error_handler,
    next_hop_handler,
    router_address_handler,
)
"""One line per feature."""


def handlers(tools: Tools, makers: Iterable[Maker] = MAKERS) -> tuple[PacketHandler, ...]:
    """The handlers of one agent. Raises: ValueError if two have one name, which appointments go by."""
    made = tuple(maker(tools) for maker in makers)
    names = [handler.name for handler in made]
    if len(set(names)) != len(names):
        raise ValueError(f"packet handlers must have different names: {sorted(names)}")
    return made
