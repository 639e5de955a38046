"""Logs of what security groups decide."""

from typing import Any

import pytest

from alcor.managers.interface import Ask
from alcor.managers.security_group.log import list_loggable
from alcor.model.errors import Conflict, InvalidInput, Problem
from alcor.model.log import Log
from alcor.model.security_group import SecurityGroup
from tests.support.managers import ADMIN, MEMBER, PROJECT, STRANGER, Desk

MISSING = "0190aaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"


async def _port(desk: Desk, **said: Any) -> Any:
    return await desk.create("port", network_id=(await desk.create("network")).id, **said)


async def test_a_log_says_nothing_and_means_all(desk: Desk) -> None:
    """Without more it is of every group and port of the project, of both kinds of decisions, and enabled."""
    log = await desk.create("log", resource_type="security_group")

    assert (log.project_id, log.resource_id, log.target_id) == (PROJECT, None, None)
    assert (log.event, log.enabled) == ("ALL", True)
    changed = await desk.update(log, enabled=False, name="quiet")
    assert (changed.enabled, changed.name) == (False, "quiet")


async def test_a_log_of_one_group_and_one_port_in_it(desk: Desk) -> None:
    """It goes with either of them."""
    port = await _port(desk)
    group_id = port.security_groups[0]
    said = {"resource_type": "security_group", "event": "DROP"}
    await desk.create("log", **said, resource_id=group_id, target_id=port.id)
    of_group = await desk.create("log", **said, resource_id=group_id)
    of_all = await desk.create("log", **said)

    await desk.delete(port)
    left = {log.id for log in await desk.store.reader.list(Log)}
    group = await desk.store.reader.find(SecurityGroup, group_id)
    assert group is not None
    await desk.delete(group)

    assert left == {of_group.id, of_all.id}
    assert [log.id for log in await desk.store.reader.list(Log)] == [of_all.id]


@pytest.mark.parametrize(
    ("said", "problem", "reason"),
    [
        ({"resource_type": "firewall"}, Problem.LOG_TYPE, "resource_type: firewall"),
        ({"resource_id": MISSING}, Problem.LOG_RESOURCE, f"Resource {MISSING}"),
        ({"target_id": MISSING}, Problem.LOG_TARGET, f"Target resource {MISSING}"),
    ],
)
async def test_what_a_log_names_is_there(
    desk: Desk, said: dict[str, Any], problem: Problem, reason: str
) -> None:
    """A kind that cannot be logged, and a group or port that is not there, are refused."""
    with pytest.raises((InvalidInput, Conflict), match=reason) as refused:
        await desk.create("log", **({"resource_type": "security_group"} | said))

    assert refused.value.problem is problem


async def test_groups_and_ports_of_others_are_not_logged(desk: Desk) -> None:
    """They are as good as not there."""
    port = await _port(desk.as_caller(MEMBER))
    stranger = desk.as_caller(STRANGER)

    for said in ({"target_id": port.id}, {"resource_id": port.security_groups[0]}):
        with pytest.raises(Conflict, match="could not be found"):
            await stranger.create("log", resource_type="security_group", **said)


async def test_a_port_is_logged_by_a_group_it_is_in(desk: Desk) -> None:
    """Another group decides nothing about it."""
    port, group = await _port(desk), await desk.create("security_group")

    with pytest.raises(InvalidInput, match="the port is not in the group") as refused:
        await desk.create("log", resource_type="security_group", resource_id=group.id, target_id=port.id)

    assert refused.value.problem is Problem.LOG_CONSTRAINT


async def test_what_a_card_passes_on_by_itself_is_not_logged(desk: Desk) -> None:
    """The switch sees nothing of a port whose interface is a card's."""
    port = await _port(desk, binding_vnic_type="direct")

    with pytest.raises(Conflict, match="'direct'") as refused:
        await desk.create("log", resource_type="security_group", target_id=port.id)

    assert refused.value.problem is Problem.LOG_NOT_SUPPORTED


async def test_what_can_be_logged(desk: Desk) -> None:
    """Security groups."""
    found = await list_loggable(desk.store, Ask(ADMIN, {}, None, []))

    assert found == {"loggable_resources": [{"type": "security_group"}]}
