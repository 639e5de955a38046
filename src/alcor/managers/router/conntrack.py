"""Conntrack helpers: `/v2.0/routers/{id}/conntrack_helpers`.

Source: Networking API v2.0, "Routers conntrack helper (CT) target rules"; helpers and protocols as the reference
allows by default (allowed_conntrack_helpers).
"""

from collections.abc import Mapping, Sequence

from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.row import new_row, replace_row
from alcor.model.conntrack_helper import CONNTRACK_HELPER, ConntrackRule
from alcor.model.errors import InvalidInput, Problem
from alcor.model.extension import Extension
from alcor.model.router import Router
from alcor.store.interface import Transaction

ALLOWED: Mapping[str, tuple[str, ...]] = {
    "amanda": ("tcp",),
    "ftp": ("tcp",),
    "h323": ("udp", "tcp"),
    "irc": ("tcp",),
    "netbios-ns": ("udp",),
    "pptp": ("tcp",),
    "sane": ("tcp",),
    "sip": ("udp", "tcp"),
    "snmp": ("udp",),
    "tftp": ("udp",),
}
"""Helper → the protocols it reads."""

_EXTENSIONS = (
    Extension(
        "l3-conntrack-helper",
        "L3 Conntrack helper",
        "Helpers by which a router follows connections that others open.",
        "2019-04-04T10:00:00-00:00",
    ),
    Extension(
        "expose-l3-conntrack-helper",
        "Expose CT target rules for conntrack helper",
        "A router shows its conntrack helpers.",
        "2019-04-04T10:00:00-00:00",
    ),
)


def conntrack_manager() -> Manager:
    """`/v2.0/routers/{id}/conntrack_helpers`."""
    return Manager(
        CONNTRACK_HELPER, "router", create=create, update=update, delete=delete, extensions=_EXTENSIONS
    )


def _space(router_id: str) -> str:
    return f"conntrack_helper:{router_id}"


def _key(row: ConntrackRule) -> str:
    return f"{row.protocol}/{row.port}/{row.helper}"


async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Add helpers to a router. Raises: InvalidInput for one that is not allowed, or is there."""
    made = []
    for values in many:
        router = await tx.get(Router, values["router_id"])
        row = new_row(tx, caller, ConntrackRule, values, project_id=router.project_id)
        _check_allowed(row)
        await _claim(tx, row)
        made.append(Made(await tx.get(ConntrackRule, row.id)))
    return made


async def update(tx: Transaction, _caller: Caller, row: ConntrackRule, values: Values) -> ConntrackRule:
    """Change a helper. Raises: as `create`."""
    after = await replace_row(tx, row, values)
    _check_allowed(after)
    if _key(after) != _key(row):
        await _claim(tx, after)
        tx.release(_space(row.router_id), _key(row))
    return after


async def delete(tx: Transaction, _caller: Caller, row: ConntrackRule) -> None:
    """Remove a helper."""
    forget(tx, row)


def forget(tx: Transaction, row: ConntrackRule) -> None:
    """Remove a helper, also with its router."""
    tx.release(_space(row.router_id), _key(row))
    tx.delete(row)


def _check_allowed(row: ConntrackRule) -> None:
    protocols = ALLOWED.get(row.helper)
    if protocols is None:
        raise InvalidInput(
            f"Conntrack Helper {row.helper} is not allowed; there are: {', '.join(ALLOWED)}.",
            problem=Problem.HELPER_NOT_ALLOWED,
        )
    if row.protocol not in protocols:
        raise InvalidInput(
            f"Conntrack Helper {row.helper} does not support: {row.protocol}. Supported protocols are: "
            f"{', '.join(protocols)}",
            problem=Problem.HELPER_PROTOCOL,
        )


async def _claim(tx: Transaction, row: ConntrackRule) -> None:
    if not await tx.claim(_space(row.router_id), _key(row), row.id):
        raise InvalidInput(
            f"Bad conntrack_helper request: A duplicate conntrack helper entry with same attributes already exists: "
            f"{row.helper} for {row.protocol} port {row.port} of router {row.router_id}.",
            problem=Problem.BAD_REQUEST,
        )
