"""The engine: one class serves every resource, from its declaration and its manager's functions.

A create, update, delete or action is one transaction; the answer is built from the rows as that transaction left
them, after its commit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.responses import Response

from alcor.api.body import Form
from alcor.api.call import Call, Endpoint, Handler
from alcor.api.errors import bad_request
from alcor.api.limit import Limits
from alcor.api.listing import Listing, Page, Parameters, links
from alcor.api.view import Selection, View, encode
from alcor.managers.interface import Action, Caller, Child, Create, Delete, Manager, Update
from alcor.model.errors import Forbidden, NotFound, StaleRevision
from alcor.model.resource import Entity
from alcor.store.interface import Store, Transaction

_REVISION_TAG = "revision_number="


@dataclass(frozen=True, slots=True)
class _Written:
    """Rows as the transaction left them, and what only this answer shows of each."""

    rows: list[Entity]
    shown: list[Mapping[str, Any]]


class Collection:
    """One resource's endpoints."""

    def __init__(self, manager: Manager, store: Store, limits: Limits) -> None:
        self.manager = manager
        self.resource = manager.resource
        self.path = f"{manager.resource.prefix}/{manager.resource.collection}"
        self.form = Form(manager.resource, limits)
        self.parameters = Parameters(manager.resource, limits)
        self.view = View(manager)
        self._store = store
        self._limits = limits
        self._owned = manager.resource.attribute("project_id") is not None
        overlap = manager.children.keys() & manager.actions.keys()
        if overlap:
            raise ValueError(f"{self.resource.name}: {sorted(overlap)} are both children and actions")

    def endpoints(self) -> dict[str, Endpoint]:
        """Path template → endpoint. A verb without a function is left out, which makes it a 405."""
        manager = self.manager
        many: dict[str, Handler] = {"GET": self.list_rows}
        one: dict[str, Handler] = {"GET": self.show_row}
        if manager.create is not None:
            many["POST"] = self._creating(manager.create)
        if manager.update is not None:
            one["PUT"] = self._updating(manager.update)
        if manager.delete is not None:
            one["DELETE"] = self._deleting(manager.delete)
        label = self.resource.collection
        found = {self.path: Endpoint(label, many), f"{self.path}/{{id}}": Endpoint(label, one)}
        for name, child in manager.children.items():
            found[f"{self.path}/{{id}}/{name}"] = Endpoint(
                f"{label}/{name}", {"GET": self._child(name, child)}
            )
        for name, action in manager.actions.items():
            found[f"{self.path}/{{id}}/{name}"] = Endpoint(f"{label}/{name}", {"PUT": self._acting(action)})
        return found

    async def list_rows(self, call: Call) -> Response:
        """`GET <collection>`: one page of the rows the caller sees."""
        self._admit(call.caller)
        pairs = call.pairs()
        listing = self.parameters.read(pairs, call.caller)
        selection = self.view.selection(call.caller, listing.fields)
        if listing.query.marker is not None:
            await self._visible(listing.query.marker, call.caller)
        page = await self._page(listing, call.caller)
        answer: dict[str, Any] = {
            self.view.collection: await self.view.shown(self._store, page.rows, selection)
        }
        if found := links(f"{call.base}{self.path}", pairs, listing, page):
            answer[f"{self.view.collection}_links"] = found
        return _json(answer)

    async def show_row(self, call: Call) -> Response:
        """`GET <collection>/<id>`: one row."""
        self._admit(call.caller)
        fields = [value for name, value in call.pairs() if name == "fields" and value]
        row = await self._visible(call.id, call.caller)
        return await self._one(row, self.view.selection(call.caller, fields), {})

    def _creating(self, create: Create) -> Handler:
        async def handle(call: Call) -> Response:
            self._admit(call.caller)
            items, is_bulk = self.form.created(await call.json(), call.caller)

            async def work(tx: Transaction) -> _Written:
                made = await create(tx, call.caller, items)
                rows = [await tx.get(self.resource.entity, one.row.id) for one in made]
                return _Written(rows, [one.shown for one in made])

            written = (await self._store.write(work)).value
            selection = self.view.selection(call.caller, ())
            if not is_bulk:
                return await self._one(written.rows[0], selection, written.shown[0], status=201)
            documents = await self.view.shown(self._store, written.rows, selection, written.shown)
            return _json({self.view.collection: documents}, status=201)

        return handle

    def _updating(self, update: Update) -> Handler:
        async def handle(call: Call) -> Response:
            self._admit(call.caller)
            expected = _if_match(call)
            values = self.form.updated(await call.json(), call.caller)

            async def work(tx: Transaction) -> Entity:
                row = await self._held(tx, call, expected)
                changed = await update(tx, call.caller, row, values)
                return await tx.get(self.resource.entity, changed.id)

            row = (await self._store.write(work)).value
            return await self._one(row, self.view.selection(call.caller, ()), {})

        return handle

    def _deleting(self, delete: Delete) -> Handler:
        async def handle(call: Call) -> Response:
            self._admit(call.caller)
            expected = _if_match(call)

            async def work(tx: Transaction) -> None:
                await delete(tx, call.caller, await self._held(tx, call, expected))

            await self._store.write(work)
            return Response(status_code=204)

        return handle

    def _child(self, name: str, child: Child) -> Handler:
        async def handle(call: Call) -> Response:
            self._admit(call.caller)
            row = await self._visible(call.id, call.caller)
            return _json({name.replace("-", "_"): await child(self._store, row)})

        return handle

    def _acting(self, action: Action) -> Handler:
        async def handle(call: Call) -> Response:
            self._admit(call.caller)
            expected = _if_match(call)
            has_body = (
                call.header(b"content-length") not in (None, "0") or b"transfer-encoding" in call.headers
            )
            body = await call.json() if has_body else {}
            if not isinstance(body, dict):
                raise bad_request("The body must be a JSON object.")

            async def work(tx: Transaction) -> dict[str, Any]:
                return await action(tx, call.caller, await self._held(tx, call, expected), body)

            return _json((await self._store.write(work)).value)

        return handle

    def _admit(self, caller: Caller) -> None:
        """What no project owns belongs to the operator. Raises: Forbidden."""
        if not self._owned and not caller.is_admin:
            raise Forbidden(
                f"{self.path} is disallowed by policy: it belongs to no project, and the token is not an "
                "administrator's."
            )

    def _may_see(self, row: Entity | None, caller: Caller) -> bool:
        return row is not None and (caller.is_admin or not self._owned or row.project_id == caller.project_id)

    async def _visible(self, id: str, caller: Caller) -> Entity:
        """The row, if the caller may see it; a row of another project is as good as none. Raises: NotFound."""
        row = await self._store.reader.find(self.resource.entity, id)
        if row is None or not self._may_see(row, caller):
            raise NotFound(self.resource.name, id)
        return row

    async def _held(self, tx: Transaction, call: Call, expected: int | None) -> Entity:
        """The row inside the transaction. Raises: NotFound; StaleRevision if it is not the revision expected."""
        row = await tx.get(self.resource.entity, call.id)
        if not self._may_see(row, call.caller):
            raise NotFound(self.resource.name, call.id)
        if expected is not None and row.revision_number != expected:
            raise StaleRevision(self.resource.name, call.id, expected, row.revision_number)
        return row

    async def _one(
        self, row: Entity, selection: Selection, shown: Mapping[str, Any], *, status: int = 200
    ) -> Response:
        documents = await self.view.shown(self._store, [row], selection, [shown])
        return _json({self.view.member: documents[0]}, status=status)

    async def _page(self, listing: Listing, caller: Caller) -> Page:
        if listing.nothing:
            return Page([], False, None, None)
        if listing.computed:
            return await self._scan(listing, caller)
        rows = await self._store.reader.list(self.resource.entity, listing.query)
        full = listing.query.limit is not None and len(rows) >= listing.query.limit
        return _page_of(rows, full)

    async def _scan(self, listing: Listing, caller: Caller) -> Page:
        """Rows whose computed attributes match. Reads at most `scan_rows_max` rows; where it stopped, the page's
        link goes on, so that such a list is slow rather than wrong."""
        query, limit = listing.query, listing.query.limit or self._limits.page_items_max
        selection = self.view.selection(caller, list(listing.computed))
        found: list[Any] = []
        marker, scanned = query.marker, 0
        while True:
            chunk = await self._store.reader.list(
                self.resource.entity, replace(query, limit=self._limits.scan_page_rows, marker=marker)
            )
            matching = await self._matching(chunk, selection, listing.computed)
            found = [*matching, *found] if query.reverse else [*found, *matching]
            if len(found) >= limit:
                return _page_of(found[-limit:] if query.reverse else found[:limit], True)
            scanned += len(chunk)
            if len(chunk) < self._limits.scan_page_rows:
                return _page_of(found, False)
            marker = chunk[0].id if query.reverse else chunk[-1].id
            if scanned >= self._limits.scan_rows_max:
                page = _page_of(found, True)
                return replace(page, first=marker) if query.reverse else replace(page, last=marker)

    async def _matching(
        self, rows: Sequence[Any], selection: Selection, wanted: Mapping[str, tuple[Any, ...]]
    ) -> list[Any]:
        documents = await self.view.shown(self._store, rows, selection)
        return [
            row
            for row, document in zip(rows, documents, strict=True)
            if all(document[name] in values for name, values in wanted.items())
        ]


def _page_of(rows: list[Any], full: bool) -> Page:
    return Page(rows, full, rows[0].id if rows else None, rows[-1].id if rows else None)


def _json(answer: Any, *, status: int = 200) -> Response:
    return Response(encode(answer), status, media_type="application/json")


def _if_match(call: Call) -> int | None:
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
