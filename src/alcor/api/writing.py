"""What changes rows. Each call is one transaction; the answer is built from the rows as it left them, after its commit.

Inside it, in this order: the row is found as the caller sees it (404), its revision compared (412), the policy asked
(403), the quota bound, the manager's function run.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from alcor.api.body import Item
from alcor.api.call import Call, Endpoint, Handler
from alcor.api.collection import Collection, as_json
from alcor.api.errors import InItem, bad_request, failure_of
from alcor.api.finder import Nested
from alcor.managers.interface import Action, Caller, Create, Delete, Update
from alcor.model.change import Origin
from alcor.model.errors import AlcorError, StaleRevision
from alcor.model.resource import Entity
from alcor.store.interface import Transaction

_REVISION_TAG = "revision_number="


@dataclass(frozen=True, slots=True)
class _Written:
    """Rows as the transaction left them, and what only this answer shows of each."""

    rows: list[Entity]
    shown: list[Mapping[str, Any]]


Work = Callable[[Transaction], Awaitable[_Written]]


class Writing:
    """The writing endpoints of one collection."""

    def __init__(self, one: Collection) -> None:
        self._one = one
        self._resource = one.resource
        self._store = one.around.store
        self._nested = one.finder if isinstance(one.finder, Nested) else None

    def endpoints(self) -> dict[str, Endpoint]:
        """Path template → endpoint. A verb without a function is left out, which makes it a 405."""
        one, manager = self._one, self._one.manager
        many: dict[str, Handler] = {}
        single: dict[str, Handler] = {}
        if manager.create is not None:
            many["POST"] = self._creating(manager.create)
        if manager.update is not None:
            single["PUT"] = self._updating(manager.update)
            # Rows that are made are found before the transaction, one by one.
            if manager.source is None:
                many["PUT"] = self._updating_many(manager.update)
        if manager.delete is not None:
            single["DELETE"] = self._deleting(manager.delete)
            many["DELETE"] = self._deleting_many(manager.delete)
        found = {one.path: Endpoint(one.label, many), one.one_path: Endpoint(one.label, single)}
        if self._resource.bulk_path:
            found[f"{one.path}/bulk"] = Endpoint(f"{one.label}/bulk", many)
        for name, action in manager.actions.items():
            found[f"{one.one_path}/{name}"] = Endpoint(
                f"{one.label}/{name}", {"PUT": self._acting(name, action)}
            )
        return found

    def _creating(self, create: Create) -> Handler:
        async def handle(call: Call) -> Response:
            one, caller = self._one, call.caller
            items, is_bulk = one.form.created(await call.json(), caller)

            async def work(tx: Transaction) -> _Written:
                return await self._create(tx, call, create, items)

            if is_bulk and _is_partial(call):
                return await self._each(call, [self._create_one(call, create, item) for item in items])
            written = (await self._store.write(work, origin_of(caller))).value
            selection = one.view.selection(caller, ())
            if not is_bulk:
                return await one.answer_one(caller, written.rows[0], selection, written.shown[0], status=201)
            documents = await one.view.shown(self._store, caller, written.rows, selection, written.shown)
            return as_json({one.view.collection: documents}, status=201)

        return handle

    def _create_one(self, call: Call, create: Create, item: Item) -> Work:
        async def work(tx: Transaction) -> _Written:
            return await self._create(tx, call, create, [item])

        return work

    async def _create(self, tx: Transaction, call: Call, create: Create, items: Sequence[Item]) -> _Written:
        caller, resource = call.caller, self._resource
        above = None if self._nested is None else await self._nested.parent(tx, caller, call.names)
        # Copies, because the whole function may be run again and a manager may change what it is given.
        many = [dict(item.values) for item in items]
        for item, values in zip(items, many, strict=True):
            target = dict(item.said)
            target["project_id"] = values.get("project_id", caller.project_id)
            if above is not None and resource.parent is not None:
                values[resource.parent.field] = target[resource.parent.field] = above.id
            await self._one.access.check(tx, caller, "create", target, item.said)
        await self._bind(tx, caller, many)
        made = await create(tx, caller, many)
        self._bump(tx, above)
        rows = [await tx.get(resource.entity, one.row.id) for one in made]
        return _Written(rows, [one.shown for one in made])

    async def _bind(self, tx: Transaction, caller: Caller, many: Sequence[Mapping[str, Any]]) -> None:
        """Let the store refuse what would be more than a project may have."""
        limit_of, resource = self._one.around.quota_limit, self._resource
        if limit_of is None or not resource.quota:
            return
        for project_id in {str(values.get("project_id") or caller.project_id) for values in many}:
            tx.bound(resource.entity, project_id, await limit_of(tx, project_id, resource.quota))

    def _bump(self, tx: Transaction, above: Entity | None) -> None:
        if above is not None and self._resource.parent is not None and self._resource.parent.bumps:
            tx.touch(above)

    def _updating(self, update: Update) -> Handler:
        async def handle(call: Call) -> Response:
            expected = if_match(call)
            item = self._one.form.updated(await call.json())
            made = await self._made(call)

            async def work(tx: Transaction) -> Entity:
                return await self._update(tx, call, update, call.names, item, expected, made)

            row = (await self._store.write(work, origin_of(call.caller))).value
            return await self._one.answer_one(call.caller, row, self._one.view.selection(call.caller, ()), {})

        return handle

    async def _update(
        self,
        tx: Transaction,
        call: Call,
        update: Update,
        names: Sequence[str],
        item: Item,
        expected: int | None,
        made: Entity | None = None,
    ) -> Entity:
        row = await self._held(tx, call.caller, names, expected, made)
        access = self._one.access
        await access.check(tx, call.caller, "update", access.row_target(row) | dict(item.said), item.said)
        changed = await update(tx, call.caller, row, dict(item.values))
        # A row that is made from others has no place of its own to be read from.
        if self._one.manager.source is not None:
            return changed
        now = await tx.get(self._resource.entity, changed.id)
        if self._nested is not None and now.revision_number != row.revision_number:
            self._bump(tx, await self._nested.parent(tx, call.caller, names))
        return now

    def _deleting(self, delete: Delete) -> Handler:
        async def handle(call: Call) -> Response:
            expected = if_match(call)

            async def work(tx: Transaction) -> None:
                await self._delete(tx, call, delete, call.names, expected)

            await self._store.write(work, origin_of(call.caller))
            return Response(status_code=204)

        return handle

    async def _delete(
        self, tx: Transaction, call: Call, delete: Delete, names: Sequence[str], expected: int | None
    ) -> None:
        row = await self._held(tx, call.caller, names, expected)
        await self._one.access.check(tx, call.caller, "delete", self._one.access.row_target(row))
        await delete(tx, call.caller, row)
        if self._nested is not None:
            self._bump(tx, await self._nested.parent(tx, call.caller, names))

    def _acting(self, name: str, action: Action) -> Handler:
        access = self._one.access
        said = access.rules_of_action(name)

        async def handle(call: Call) -> Response:
            expected = if_match(call)
            body = await call.json() if call.has_body else {}
            if not isinstance(body, dict):
                raise bad_request("The body must be a JSON object.")

            async def work(tx: Transaction) -> Any:
                row = await self._held(tx, call.caller, call.names, expected)
                await access.check_action(tx, call.caller, row, (name,), said=said, body=body)
                answer = await action(tx, call.caller, row, dict(body))
                if isinstance(answer, dict):
                    return {member: await self._as_left(tx, one) for member, one in answer.items()}
                return await self._as_left(tx, answer)

            answer = (await self._store.write(work, origin_of(call.caller))).value
            if isinstance(answer, dict):
                shown = {member: await self._document(call.caller, one) for member, one in answer.items()}
                return as_json(shown)
            return as_json(await self._document(call.caller, answer))

        return handle

    async def _as_left(self, tx: Transaction, value: Any) -> Any:
        """A row of ours as the transaction leaves it; anything else as it is."""
        return await tx.get(self._resource.entity, value.id) if isinstance(value, Entity) else value

    async def _document(self, caller: Caller, value: Any) -> Any:
        """A row of ours as this caller sees it; anything else as it is."""
        if not isinstance(value, Entity):
            return value
        view = self._one.view
        return (await view.shown(self._store, caller, [value], view.selection(caller, ())))[0]

    async def _made(self, call: Call) -> Entity | None:
        """The row of a collection that is made from others; a transaction cannot read all that it is made from."""
        if self._one.manager.source is None:
            return None
        row: Entity = await self._one.finder.find(self._store.reader, call.caller, call.names)
        return row

    async def _held(
        self,
        tx: Transaction,
        caller: Caller,
        names: Sequence[str],
        expected: int | None,
        made: Entity | None = None,
    ) -> Entity:
        """The row inside the transaction. Raises: NotFound; StaleRevision if it is not the revision expected."""
        row: Entity = made or await self._one.finder.find(tx, caller, names)
        if expected is not None and row.revision_number != expected:
            raise StaleRevision(self._resource.kind, row.id, expected, row.revision_number)
        return row

    # Many at once: all or none, or with `?partial=true` each for itself with a verdict.

    def _updating_many(self, update: Update) -> Handler:
        async def handle(call: Call) -> Response:
            one = self._one
            raw = one.form.many(await call.json())
            named = [
                _named(index, item, one.form.collection, self._resource.key) for index, item in enumerate(raw)
            ]
            items = [
                (key, one.form.in_bulk(index, rest, one.form.update_item))
                for index, (key, rest) in enumerate(named)
            ]
            works = [self._update_one(call, update, key, item) for key, item in items]
            return await self._many(call, works)

        return handle

    def _update_one(self, call: Call, update: Update, key: str, item: Item) -> Work:
        async def work(tx: Transaction) -> _Written:
            row = await self._update(tx, call, update, (*call.names, key), item, None)
            return _Written([row], [{}])

        return work

    def _deleting_many(self, delete: Delete) -> Handler:
        async def handle(call: Call) -> Response:
            raw = self._one.form.many(await call.json())
            collection, key = self._one.form.collection, self._resource.key
            keys = [_named(index, item, collection, key)[0] for index, item in enumerate(raw)]
            works = [self._delete_one(call, delete, one) for one in keys]
            return await self._many(call, works)

        return handle

    def _delete_one(self, call: Call, delete: Delete, key: str) -> Work:
        async def work(tx: Transaction) -> _Written:
            await self._delete(tx, call, delete, (*call.names, key), None)
            return _Written([], [])

        return work

    async def _many(self, call: Call, works: Sequence[Work]) -> Response:
        if _is_partial(call):
            return await self._each(call, works)

        async def all_of_them(tx: Transaction) -> list[Entity]:
            rows: list[Entity] = []
            for place, work in enumerate(works):
                try:
                    rows += (await work(tx)).rows
                except AlcorError as error:
                    raise InItem(f"{self._one.form.collection}[{place}]", error) from error
            return rows

        rows = (await self._store.write(all_of_them, origin_of(call.caller))).value
        if not rows:
            return Response(status_code=204)
        view = self._one.view
        documents = await view.shown(self._store, call.caller, rows, view.selection(call.caller, ()))
        return as_json({view.collection: documents})

    async def _each(self, call: Call, works: Sequence[Work]) -> Response:
        """A transaction for each item, and a verdict: what came of it, or the error it would have had alone."""
        view, member = self._one.view, self._one.view.member
        verdicts: list[dict[str, Any]] = []
        for work in works:
            try:
                written = (await self._store.write(work, origin_of(call.caller))).value
            except AlcorError as error:
                failure = failure_of(error, realm=call.base)
                verdicts.append({"status": failure.status, **failure.body})
                continue
            selection = view.selection(call.caller, ())
            shown = await view.shown(self._store, call.caller, written.rows, selection, written.shown)
            verdicts.append({"status": 200, member: shown[0] if shown else None})
        return as_json({view.collection: verdicts}, status=207)


def _named(index: int, item: Any, collection: str, key: str) -> tuple[str, Any]:
    """The key an item of a bulk change names, and what else it says. Raises: InItem."""
    if not isinstance(item, dict) or not isinstance(item.get(key), str):
        raise InItem(
            f"{collection}[{index}]", bad_request(f"Each item must be an object that names its '{key}'.")
        )
    return item[key], {name: value for name, value in item.items() if name != key}


def _is_partial(call: Call) -> bool:
    return any(name == "partial" and value.lower() in ("true", "1") for name, value in call.pairs())


def origin_of(caller: Caller) -> Origin:
    """Who asked, as the history keeps it."""
    return Origin(caller.request_id, caller.user_id, caller.project_id)


def if_match(call: Call) -> int | None:
    """The `revision_number` of an If-Match header, None without one. Raises: Refused (400).

    Source: extension revision-if-match. Other entity tags are not ours and are passed over.
    """
    if b"if-match" not in call.headers:
        return None
    tags = [
        tag.strip().removeprefix("W/").strip('"')
        for line in call.request.headers.getlist("if-match")
        for tag in line.split(",")
    ]
    numbers = [tag.removeprefix(_REVISION_TAG) for tag in tags if tag.startswith(_REVISION_TAG)]
    if not numbers:
        return None
    if len(numbers) > 1:
        raise bad_request("Multiple revision_number etags are not supported.")
    if not numbers[0].isdecimal() or len(numbers[0]) > 18:
        raise bad_request("Revision number etag must be in the format of revision_number=<int>")
    return int(numbers[0])
