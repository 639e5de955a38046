"""Allowed address pairs: what a port may send from beside its own addresses.

Source: Networking API v2.0, "Allowed address pairs"; extensions allowed-address-pairs, allowed-address-pairs-atomic.
"""

from collections.abc import Callable, Sequence
from typing import Any

from alcor.managers.interface import Action, Caller, Values
from alcor.managers.port.security import pairs_need_security
from alcor.managers.row import replace_row
from alcor.model.errors import InvalidInput, Problem
from alcor.model.port import Port
from alcor.model.port_value import ADDRESS_PAIRS, AddressPair, WantedPair
from alcor.store.interface import Transaction

# The reference's default of max_allowed_address_pair. Each pair is flows on every host of the network.
PAIRS_MAX = 10

_NAME = "allowed_address_pairs"


def pairs_of(wanted: Sequence[WantedPair], mac: str) -> tuple[AddressPair, ...]:
    """The pairs a client asks for; without a MAC address it is the port's, `mac`.

    Raises: InvalidInput if there are too many, one has no address, or two are the same.
    """
    if len(wanted) > PAIRS_MAX:
        raise InvalidInput(
            f"A port has at most {PAIRS_MAX} allowed address pairs, not {len(wanted)}; a prefix counts as one.",
            problem=Problem.PAIRS_TOO_MANY,
        )
    pairs: list[AddressPair] = []
    for one in wanted:
        if one.ip_address is None:
            raise InvalidInput(
                "Every allowed address pair must have an ip_address.", problem=Problem.PAIR_WITHOUT_ADDRESS
            )
        pair = AddressPair(one.ip_address, one.mac_address or mac)
        if pair in pairs:
            raise InvalidInput(
                f"Allowed address pair {pair.ip_address} with MAC address {pair.mac_address} is there twice.",
                problem=Problem.PAIR_TWICE,
            )
        pairs.append(pair)
    return tuple(pairs)


def _added(row: Port, wanted: Sequence[WantedPair]) -> tuple[AddressPair, ...]:
    present = [WantedPair(pair.ip_address, pair.mac_address) for pair in row.allowed_address_pairs]
    new = [pair for pair in pairs_of(wanted, row.mac_address) if pair not in row.allowed_address_pairs]
    return pairs_of([*present, *(WantedPair(pair.ip_address, pair.mac_address) for pair in new)], "")


def _left(row: Port, wanted: Sequence[WantedPair]) -> tuple[AddressPair, ...]:
    gone = pairs_of(wanted, row.mac_address)
    return tuple(pair for pair in row.allowed_address_pairs if pair not in gone)


def _action(name: str, changed: Callable[[Port, Sequence[WantedPair]], tuple[AddressPair, ...]]) -> Action:
    async def act(tx: Transaction, _caller: Caller, row: Port, body: Values) -> dict[str, Any]:
        pairs = changed(row, _wanted(body))
        if pairs and not row.port_security_enabled:
            raise pairs_need_security()
        return {"port": await replace_row(tx, row, {_NAME: pairs})}

    act.__doc__ = name
    return act


def _wanted(body: Values) -> tuple[WantedPair, ...]:
    """The pairs of `{"port": {"allowed_address_pairs": […]}}`. Raises: InvalidInput."""
    inner = body.get("port")
    if not isinstance(inner, dict) or set(inner) != {_NAME}:
        raise InvalidInput(f"The body must be {{'port': {{'{_NAME}': […]}}}} and nothing else.")
    try:
        wanted: tuple[WantedPair, ...] = ADDRESS_PAIRS.parse(inner[_NAME])
    except ValueError as error:
        raise InvalidInput(str(error), attribute=_NAME) from error
    return wanted


ACTIONS: dict[str, Action] = {
    "add_allowed_address_pairs": _action("Add pairs to those that are there.", _added),
    "remove_allowed_address_pairs": _action("Take pairs from those that are there.", _left),
}
"""Additions and removals that do not repeat what others added meanwhile. A pair that is there already, or is there no
more, is no error."""
