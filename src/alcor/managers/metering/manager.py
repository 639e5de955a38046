"""`/v2.0/metering/metering-labels` and `/v2.0/metering/metering-label-rules`.

Source: Networking API v2.0, "Metering labels and rules"; extension metering_source_and_destination_fields.
"""

from collections.abc import Sequence
from typing import Any

from alcor.managers.interface import Caller, Manager, Rows, Values
from alcor.managers.plain import plain_manager
from alcor.managers.row import get_visible
from alcor.model.address import Cidr, network_of
from alcor.model.errors import Conflict, InvalidInput, Problem
from alcor.model.extension import Extension
from alcor.model.metering import METERING_LABEL, METERING_LABEL_RULE, MeteringLabel, MeteringLabelRule
from alcor.store.interface import Condition, Query, Transaction

_EXTENSIONS = (
    Extension(
        "metering",
        "Neutron Metering",
        "Labels under which traffic of routers is counted.",
        "2013-06-12T10:00:00-00:00",
    ),
    Extension(
        "metering_source_and_destination_fields",
        "Neutron Metering with source and destination filtering",
        "Rules of labels say prefixes of sources and destinations.",
        "2020-08-21T08:12:00-00:00",
    ),
)


def family() -> tuple[Manager, ...]:
    """Labels and rules."""
    return (
        plain_manager(
            METERING_LABEL,
            "metering",
            removal=_remove_rules,
            sight=_shared,
            extensions=_EXTENSIONS,
            fixed=True,
        ),
        plain_manager(METERING_LABEL_RULE, "metering", check=_check_rule, fixed=True),
    )


async def _shared(_rows: Rows, _caller: Caller) -> Sequence[tuple[Condition, ...]]:
    return ((Condition("shared", (True,)),),)


async def _remove_rules(tx: Transaction, _caller: Caller, row: Any) -> None:
    for rule in await tx.list(MeteringLabelRule, Query((Condition("metering_label_id", (row.id,)),))):
        tx.delete(rule)


async def _check_rule(tx: Transaction, caller: Caller, _row: Any, values: Values) -> Values:
    """Raises: NotFound (label); InvalidInput without a prefix, or with prefixes that do not go together; Conflict if
    another rule of the label counts some of the same."""
    await get_visible(tx, caller, MeteringLabel, values["metering_label_id"], kind="metering_label")
    remote, source, destination = (
        values.get(f"{name}_ip_prefix") for name in ("remote", "source", "destination")
    )
    if remote and (source or destination):
        raise _invalid(
            "Cannot use 'remote_ip_prefix' in conjunction with 'source_ip_prefix' or 'destination_ip_prefix'."
        )
    if not (remote or source or destination):
        raise _invalid(
            "You must define at least one of the following parameters: 'remote_ip_prefix', 'source_ip_prefix' or "
            "'destination_ip_prefix'."
        )
    if remote:
        await _check_overlap(tx, values, Cidr(remote))
    return values


async def _check_overlap(tx: Transaction, values: Values, remote: Cidr) -> None:
    wanted = network_of(remote)
    label = Condition("metering_label_id", (values["metering_label_id"],))
    for rule in await tx.list(MeteringLabelRule, Query((label,))):
        if (rule.direction, rule.excluded) != (values["direction"], values.get("excluded", False)):
            continue
        if rule.remote_ip_prefix is None:
            continue
        present = network_of(Cidr(rule.remote_ip_prefix))
        if present.version == wanted.version and present.overlaps(wanted):
            raise Conflict(
                f"Metering label rule with remote_ip_prefix '{remote}' overlaps another: {rule.id} with "
                f"{rule.remote_ip_prefix}.",
                kind="metering_label_rule",
                id=rule.id,
                problem=Problem.METERING_OVERLAP,
            )


def _invalid(reason: str) -> InvalidInput:
    return InvalidInput(reason, problem=Problem.METERING_PREFIXES)
