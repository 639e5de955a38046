"""Rules of QoS policies by their own ID alone: `/v2.0/qos/alias-…-rules/{rule_id}`; they are shown, changed and
removed, not listed. Who may do what with a rule depends on its policy.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from alcor.managers.interface import Ask, Caller, Route, Rows, Values
from alcor.managers.qos.rule import update_rule
from alcor.managers.sharing import may_use
from alcor.model.change import Origin
from alcor.model.errors import Forbidden, InvalidInput, NotFound, Problem
from alcor.model.qos_policy import PREFIX, QosPolicy
from alcor.model.qos_rule import QOS_RULES
from alcor.model.resource import Resource, Who
from alcor.store.interface import Store, Transaction

Found = tuple[Any, QosPolicy]


def routes(*types: str) -> tuple[Route, ...]:
    """The paths of rule types."""
    return tuple(route for type_ in types for route in _routes(type_))


def _routes(type_: str) -> tuple[Route, ...]:
    resource = QOS_RULES[type_]
    member = f"alias_{resource.member_key}"
    path = f"{PREFIX}/{member.replace('_', '-')}s/{{rule_id}}"
    text = f"{resource.text} The rule is named by its own ID."
    schema = {"type": "object", "properties": {member: _schema(resource, for_update=False)}}
    body = {"type": "object", "properties": {member: _schema(resource, for_update=True)}}
    reader, writer = "rule:admin_or_project_reader", "rule:admin_or_project_manager"
    return (
        Route("GET", path, _showing(resource, member), f"get_{member}", reader, text, schema=schema),
        Route(
            "PUT", path, _changing(resource, member), f"update_{member}", writer, text,
            schema=schema, body_schema=body,
        ),
        Route("DELETE", path, _removing(resource), f"delete_{member}", writer, text, status=204),
    )  # fmt: skip


def _schema(resource: Resource, *, for_update: bool) -> dict[str, Any]:
    shown = {a.name: a.type.schema() for a in resource.attributes if a.see is not Who.NOBODY}
    if for_update:
        del shown["id"]
    return {"type": "object", "properties": shown}


def _document(resource: Resource, row: Any) -> dict[str, Any]:
    return {a.name: getattr(row, a.field) for a in resource.attributes if a.see is not Who.NOBODY}


async def _find(rows: Rows, caller: Caller, resource: Resource, id: str) -> Found:
    """A rule and its policy. Raises: NotFound, also if the caller does not see the policy."""
    row: Any = await rows.find(resource.entity, id)
    policy = None if row is None else await rows.find(QosPolicy, row.qos_policy_id)
    if policy is None or not await may_use(rows, caller, policy):
        raise NotFound(resource.error_name, id)
    return row, policy


async def _find_own(tx: Transaction, caller: Caller, resource: Resource, id: str) -> Found:
    row, policy = await _find(tx, caller, resource, id)
    if not caller.is_admin and not caller.owns(policy):
        raise Forbidden(
            f"QoS policy {policy.id} is of another project, which alone may change its rules; "
            "use a token of that project, or ask an administrator."
        )
    return row, policy


def _showing(resource: Resource, member: str) -> Callable[[Store, Ask], Awaitable[Any]]:
    async def show(store: Store, ask: Ask) -> Any:
        row, _ = await _find(store.reader, ask.caller, resource, ask.names["rule_id"])
        return {member: _document(resource, row)}

    return show


def _changing(resource: Resource, member: str) -> Callable[[Store, Ask], Awaitable[Any]]:
    async def change(store: Store, ask: Ask) -> Any:
        values = _parsed(resource, member, ask.body)

        async def work(tx: Transaction) -> Any:
            row, policy = await _find_own(tx, ask.caller, resource, ask.names["rule_id"])
            after = await update_rule(tx, ask.caller, row, values)
            tx.touch(policy)
            return after

        return {member: _document(resource, (await store.write(work, _origin(ask))).value)}

    return change


def _removing(resource: Resource) -> Callable[[Store, Ask], Awaitable[Any]]:
    async def remove(store: Store, ask: Ask) -> Any:
        async def work(tx: Transaction) -> None:
            row, policy = await _find_own(tx, ask.caller, resource, ask.names["rule_id"])
            tx.delete(row)
            tx.touch(policy)

        await store.write(work, _origin(ask))

    return remove


def _origin(ask: Ask) -> Origin:
    return Origin(ask.caller.request_id, ask.caller.user_id, ask.caller.project_id)


def _parsed(resource: Resource, member: str, body: object) -> Values:
    """What an update says. Raises: InvalidInput."""
    said = body.get(member) if isinstance(body, dict) and len(body) == 1 else None
    if not isinstance(said, dict):
        raise InvalidInput(f'The body is {{"{member}": {{…}}}}.', problem=Problem.UNKNOWN_ATTRIBUTE)
    values: Values = {}
    for name, value in said.items():
        attribute = resource.attribute(name)
        if attribute is None or attribute.update is Who.NOBODY:
            raise InvalidInput(f"Unrecognized attribute(s) '{name}'", problem=Problem.UNKNOWN_ATTRIBUTE)
        try:
            values[attribute.field] = attribute.type.parse(value)
        except ValueError as error:
            raise InvalidInput(str(error), attribute=name) from error
    return values
