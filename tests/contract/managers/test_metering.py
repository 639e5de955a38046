"""Metering labels and their rules."""

from typing import Any

import pytest

from alcor.model.errors import Conflict, InvalidInput, NotFound, Problem
from alcor.model.metering import MeteringLabelRule
from tests.support.managers import STRANGER, Desk


async def test_rules_go_with_their_label(desk: Desk) -> None:
    """A label that is deleted leaves none."""
    label = await desk.create("metering_label", name="web")
    rule = await desk.create(
        "metering_label_rule", metering_label_id=label.id, direction="ingress", source_ip_prefix="10.0.0.0/8"
    )
    assert (rule.excluded, rule.source_ip_prefix, rule.remote_ip_prefix) == (False, "10.0.0.0/8", None)
    await desk.delete(label)
    assert await desk.store.reader.list(MeteringLabelRule) == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({}, "You must define at least one"),
        ({"remote_ip_prefix": "10.0.0.0/8", "source_ip_prefix": "10.0.0.0/8"}, "in conjunction"),
        ({"remote_ip_prefix": "10.0.0.0/8", "destination_ip_prefix": "10.0.0.0/8"}, "in conjunction"),
    ],
)
async def test_a_rule_says_remote_or_the_two_sides(desk: Desk, said: dict[str, Any], reason: str) -> None:
    """Nothing at all, or both ways together, is refused."""
    label = await desk.create("metering_label")
    with pytest.raises(InvalidInput, match=reason) as refused:
        await desk.create("metering_label_rule", metering_label_id=label.id, direction="egress", **said)
    assert refused.value.problem is Problem.METERING_PREFIXES


async def test_rules_of_a_label_do_not_overlap(desk: Desk) -> None:
    """Within one direction, and among those that count or those that do not."""
    label, other = await desk.create("metering_label"), await desk.create("metering_label")

    async def rule(prefix: str, **said: Any) -> Any:
        values = {"metering_label_id": label.id, "direction": "ingress", "remote_ip_prefix": prefix} | said
        return await desk.create("metering_label_rule", **values)

    await rule("10.0.0.0/8")
    with pytest.raises(Conflict) as refused:
        await rule("10.1.0.0/16")
    assert refused.value.problem is Problem.METERING_OVERLAP
    await rule("10.1.0.0/16", direction="egress")
    await rule("10.1.0.0/16", excluded=True)
    await rule("10.1.0.0/16", metering_label_id=other.id)
    await rule("192.0.2.0/24")


async def test_a_rule_needs_a_label_of_the_project(desk: Desk) -> None:
    """Labels of others are not found."""
    label = await desk.create("metering_label")
    with pytest.raises(NotFound, match="Metering label"):
        await desk.as_caller(STRANGER).create(
            "metering_label_rule",
            metering_label_id=label.id,
            direction="ingress",
            remote_ip_prefix="10.0.0.0/8",
        )
