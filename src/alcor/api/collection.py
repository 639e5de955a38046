"""The engine: one class serves every resource, from its declaration and its manager's functions.

Here: where its endpoints are, and reading. What writes is in `writing`, tags in `tagging`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from alcor.api.access import Access
from alcor.api.body import Form
from alcor.api.call import Call, Endpoint, Handler
from alcor.api.errors import Refused
from alcor.api.finder import Finder, Made, Nested, Stored
from alcor.api.limit import Limits
from alcor.api.listing import Listing, Page, Parameters, links, parse_moment
from alcor.api.needs import QuotaLimit
from alcor.api.policy import Policy
from alcor.api.view import Selection, View, encode
from alcor.managers.interface import Caller, Child, Hidden, Manager
from alcor.model.errors import NotFound
from alcor.model.realized import REACHING
from alcor.model.resource import Entity
from alcor.store.interface import Store, TooOld

Counts = Callable[[str, Sequence[str]], Awaitable[list[dict[str, Any]]]]
"""(resource's name, row ids) → the attribute `data_plane` of each. Raises: Unavailable."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every collection needs. `quota_limit` None: nothing is limited; `hidden`: what a caller does not see;
    `counts`: of rows of a kind, how many hosts have them.
    """

    store: Store
    limits: Limits
    policy: Policy
    hidden: Callable[[Caller], Hidden]
    quota_limit: QuotaLimit | None = None
    counts: Counts | None = None


class Collection:
    """One resource's rows, form, view and rules, and its reading endpoints."""

    def __init__(self, manager: Manager, around: Surroundings, above: "Collection | None" = None) -> None:
        resource = manager.resource
        self.manager, self.resource, self.around, self.above = manager, resource, around, above
        self.access = Access(resource, around.policy)
        self.form = Form(resource, around.limits)
        self.parameters = Parameters(resource, around.limits)
        self.view = View(manager, self.access)
        self.finder = self._finder()
        self.path: str
        self.label: str
        inside = "" if above is None else f"/{{{above.resource.name}_id}}"
        self.path = f"{resource.prefix if above is None else above.path}{inside}/{resource.collection}"
        self.one_path = f"{self.path}/{{{'id' if resource.key == 'id' else resource.key}}}"
        noun = resource.name if resource.view_of else resource.collection
        self.label = noun if above is None else f"{above.label}/{noun}"

    def _finder(self) -> Finder:
        manager, above = self.manager, self.above
        if manager.source is not None:
            return Made(manager, self.access, self.around.store, manager.source)
        if above is None:
            return Stored(manager, self.access)
        assert self.resource.parent is not None
        return Nested(manager, self.access, self.resource.parent, above.finder)

    def reading_endpoints(self) -> dict[str, Endpoint]:
        """Path template → endpoint, for GET."""
        found = {
            self.path: Endpoint(self.label, {"GET": self.list_rows}),
            self.one_path: Endpoint(self.label, {"GET": self.show_row}),
        }
        for name, child in self.manager.children.items():
            found[f"{self.one_path}/{name}"] = Endpoint(
                f"{self.label}/{name}", {"GET": self._child(name, child)}
            )
        return found

    async def list_rows(self, call: Call) -> Response:
        """`GET <collection>`: one page of the rows the caller sees."""
        caller, pairs = call.caller, call.pairs()
        listing = self.parameters.read(pairs, self.access.profile(caller).unlisted)
        selection = self.view.selection(caller, listing.fields)
        if self.manager.before_list is not None:
            await self.manager.before_list(self.around.store, caller, pairs)
        if listing.query.marker is not None and self.manager.source is None:
            await self._check_marker(call, listing.query.marker)
        page = await self._page(listing, call)
        counted = await self._counted([row.id for row in page.rows], listing.fields)
        documents = await self.view.shown(self.around.store, caller, page.rows, selection, counted)
        answer: dict[str, Any] = {self.view.collection: documents}
        if found := links(f"{call.base}{call.path}", pairs, listing, page):
            answer[f"{self.view.collection}_links"] = found
        return as_json(answer)

    async def _check_marker(self, call: Call, marker: str) -> None:
        """A marker is an id, also where paths name rows by another key. Raises: NotFound."""
        if self.above is None:
            await self.finder.find(self.around.store.reader, call.caller, (marker,))
            return
        reader, within = self.around.store.reader, self.resource.parent
        row = await reader.find(self.resource.entity, marker)
        assert within is not None
        above = await self.above.finder.find(reader, call.caller, call.names)
        # One of another parent would tell that it is there, and where it stands in the order.
        if row is None or getattr(row, within.field) != above.id:
            raise NotFound(self.resource.error_name or self.resource.name, marker)

    async def show_row(self, call: Call) -> Response:
        """`GET <collection>/<id>`: one row; with `?as_of=<moment>` as it was then."""
        pairs = call.pairs()
        fields = [value for name, value in pairs if name == "fields" and value]
        moments = [value for name, value in pairs if name == "as_of"]
        if moments:
            return await self._show_past(call, moments[-1], fields)
        row = await self.finder.find(self.around.store.reader, call.caller, call.names)
        shown = await self._counted([row.id], fields)
        selection = self.view.selection(call.caller, fields)
        return await self.answer_one(call.caller, row, selection, shown[0] if shown else {})

    async def _counted(self, ids: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
        """`data_plane` of each row, if it is asked for by name: hosts are asked for it, or those who know them."""
        counts, name = self.around.counts, self.resource.name
        if counts is None or name not in REACHING or "data_plane" not in fields or not ids:
            return []
        return [{"data_plane": one} for one in await counts(name, ids)]

    async def _show_past(self, call: Call, text: str, fields: Sequence[str]) -> Response:
        """What was stored at a moment. What is made from other rows is left out: it would be of today."""
        if self.above is not None or self.manager.source is not None:
            raise Refused(400, f"{call.path} has no history of its own: ask its parent's.")
        moment_ms = parse_moment(text, "as_of")
        try:
            row = await self.around.store.reader.as_of(self.resource.entity, call.id, moment_ms)
        except TooOld as error:
            oldest = datetime.fromtimestamp(error.oldest_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            raise Refused(
                410, f"The history of {self.resource.name}s begins at {oldest}; {text} is before that."
            ) from error
        if row is None or not self.access.sees(call.caller, row):
            raise NotFound(self.resource.error_name or self.resource.name, call.id)
        selection = replace(self.view.selection(call.caller, fields), loaded=())
        return await self.answer_one(call.caller, row, selection, {})

    async def answer_one(
        self,
        caller: Caller,
        row: Entity,
        selection: Selection,
        shown: Mapping[str, Any],
        *,
        status: int = 200,
    ) -> Response:
        """One row as an answer."""
        documents = await self.view.shown(self.around.store, caller, [row], selection, [shown])
        return as_json({self.view.member: documents[0]}, status=status)

    def _child(self, name: str, child: Child) -> Handler:
        async def handle(call: Call) -> Response:
            reader = self.around.store.reader
            row = await self.finder.find(reader, call.caller, call.names)
            await self.access.check_child(reader, call.caller, row, name)
            return as_json(await child(self.around.store, call.caller, row))

        return handle

    async def _page(self, listing: Listing, call: Call) -> Page:
        if listing.nothing:
            if self.above is not None:
                await self.above.finder.find(self.around.store.reader, call.caller, call.names)
            return Page([], False, None, None)
        if listing.computed:
            return await self._scan(listing, call)
        rows = await self._rows(call, listing.query)
        full = listing.query.limit is not None and len(rows) >= listing.query.limit
        return _page_of(rows, full)

    async def _rows(self, call: Call, query: Any) -> list[Any]:
        return await self.finder.page(self.around.store.reader, call.caller, call.names, query)

    async def _scan(self, listing: Listing, call: Call) -> Page:
        """Rows whose computed attributes match. Reads at most `scan_rows_max` rows; where it stopped, the page's
        link goes on, so that such a list is slow rather than wrong."""
        limits, query = self.around.limits, listing.query
        limit = query.limit or limits.page_items_max
        selection = self.view.selection(call.caller, list(listing.computed))
        found: list[Any] = []
        marker, scanned = query.marker, 0
        while True:
            chunk = await self._rows(call, replace(query, limit=limits.scan_page_rows, marker=marker))
            matching = await self._matching(call.caller, chunk, selection, listing.computed)
            found = [*matching, *found] if query.reverse else [*found, *matching]
            if len(found) >= limit:
                return _page_of(found[-limit:] if query.reverse else found[:limit], True)
            scanned += len(chunk)
            if len(chunk) < limits.scan_page_rows:
                return _page_of(found, False)
            marker = chunk[0].id if query.reverse else chunk[-1].id
            if scanned >= limits.scan_rows_max:
                page = _page_of(found, True)
                return replace(page, first=marker) if query.reverse else replace(page, last=marker)

    async def _matching(
        self, caller: Caller, rows: Sequence[Any], selection: Selection, wanted: Mapping[str, tuple[Any, ...]]
    ) -> list[Any]:
        documents = await self.view.shown(self.around.store, caller, rows, selection)
        return [
            row
            for row, document in zip(rows, documents, strict=True)
            if all(_holds(document[name], values) for name, values in wanted.items())
        ]


def _holds(value: Any, wanted: tuple[Any, ...]) -> bool:
    """Whether a computed value is one of those asked for; a list, whether it has one of them."""
    return any(one in wanted for one in value) if isinstance(value, list | tuple) else value in wanted


def _page_of(rows: list[Any], full: bool) -> Page:
    return Page(rows, full, rows[0].id if rows else None, rows[-1].id if rows else None)


def as_json(answer: Any, *, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(encode(answer), status, media_type="application/json")
