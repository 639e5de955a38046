"""`alcor list`, `alcor show`, `alcor changes`: a region's resources as tables or JSON, from their declarations."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import httpx
import typer

from alcor.cli.client import (
    FormatOption,
    checked,
    connected,
    fail,
    print_json,
    print_table,
)
from alcor.model.resource import Resource


@connected
def list_rows(
    client: httpx.Client,
    resource: Annotated[str, typer.Argument(help="A collection, such as networks or security-groups.")],
    filters: Annotated[list[str] | None, typer.Argument(help="Filters, as name=value.")] = None,
    column: Annotated[
        list[str] | None, typer.Option("--column", "-c", help="Show this attribute; repeat for several.")
    ] = None,
    sort: Annotated[str, typer.Option("--sort", help="Attribute to sort by; -name for descending.")] = "",
    limit: Annotated[int, typer.Option("--limit", help="At most so many; 0: all.", min=0)] = 0,
    format: FormatOption = "table",
) -> None:
    """List a region's resources."""
    found = resource_named(resource)
    columns = tuple(column or found.columns_shown)
    rows = list(_pages(client, found, _query(filters or (), sort, columns, format), limit))
    if format == "json":
        print_json(rows)
        return
    print_table([[_cell(row.get(name)) for name in columns] for row in rows], columns)


@connected
def show_row(
    client: httpx.Client,
    resource: Annotated[str, typer.Argument(help="A collection, such as networks or security-groups.")],
    name: Annotated[str, typer.Argument(help="The ID, or a name that only one has.")],
    as_of: Annotated[str, typer.Option("--as-of", help="As it was at this moment (ISO 8601).")] = "",
    format: FormatOption = "table",
) -> None:
    """Show one resource, by its ID or its name."""
    found = resource_named(resource)
    params = {"as_of": as_of} if as_of else {}
    row = found_row(client, found, name, params)
    if format == "json":
        print_json(row)
        return
    print_table([[key, _cell(value)] for key, value in sorted(row.items())], ("attribute", "value"))


@connected
def list_changes(
    client: httpx.Client,
    filters: Annotated[
        list[str] | None,
        typer.Argument(
            help="resource_type=…, resource_id=…, request_id=…, project_id=…, user_id=…, since=…, until=…"
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", help="At most so many.", min=1, max=1000)] = 100,
    format: FormatOption = "table",
) -> None:
    """Who changed what, and when: oldest first."""
    pairs = [*_pairs(filters or ()), ("limit", str(limit))]
    changes = checked(client.get("/changes", params=tuple(pairs)))["changes"]
    if format == "json":
        print_json(changes)
        return
    columns = ("at", "action", "resource_type", "resource_id", "changed", "user_id", "request_id")
    for one in changes:
        if one["action"] != "update":
            # All of it: the ID says it as well.
            one["changed"] = []
    print_table([[_cell(one[name]) for name in columns] for one in changes], columns)


def found_row(
    client: httpx.Client, resource: Resource, name: str, params: Mapping[str, str]
) -> dict[str, Any]:
    """The row of an ID or of a name that only one has; anything else ends the command."""
    answer = client.get(f"{path_of(resource)}/{name}", params=params)
    if answer.status_code == 404:
        rows = list(_pages(client, resource, [("name", name)], 2))
        if len(rows) > 1:
            fail(
                f"'{name}' is the name of several; use an ID: `alcor list {resource.collection} name={name}`"
            )
        if not rows:
            fail(f"no {resource.member_key} has the ID or the name '{name}'")
        answer = client.get(f"{path_of(resource)}/{rows[0]['id']}", params=params)
    row: dict[str, Any] = checked(answer)[resource.member_key]
    return row


def resource_named(name: str) -> Resource:
    """The resource of a word that people say of it; any other word ends the command.

    Where several families have the word, the Networking API's own resource has it here.
    """
    # Takes longer to import than most commands to run.
    from alcor.managers.interface import Manager
    from alcor.managers.registry import managers

    served = [
        part.resource for part in managers() if isinstance(part, Manager) and part.resource.parent is None
    ]
    known = {
        word.replace("_", "-"): one
        for one in sorted(served, key=lambda one: one.prefix == "/v2.0")  # the last keeps it
        for word in (one.member_key, one.name, one.collection_key, one.collection)
    }
    found = known.get(name.replace("_", "-"))
    if found is None:
        # Several APIs serve resources of one name.
        there = sorted({one.collection for one in served})
        fail(f"'{name}' is not a resource; there are {', '.join(there)}")
    return found


def path_of(resource: Resource) -> str:
    """Where its collection is."""
    return f"{resource.prefix}/{resource.collection}"


def _pairs(filters: Sequence[str]) -> list[tuple[str, str]]:
    pairs = []
    for one in filters:
        name, equals, value = one.partition("=")
        if not equals:
            fail(f"'{one}' is not a filter; write name=value")
        pairs.append((name, value))
    return pairs


def _query(filters: Sequence[str], sort: str, columns: Sequence[str], format: str) -> list[tuple[str, str]]:
    pairs = _pairs(filters)
    if sort:
        pairs += [
            ("sort_key", sort.removeprefix("-")),
            ("sort_dir", "desc" if sort.startswith("-") else "asc"),
        ]
    if format == "table":
        pairs += [("fields", name) for name in dict.fromkeys(("id", *columns))]
    return pairs


def _pages(
    client: httpx.Client, resource: Resource, pairs: Sequence[tuple[str, str]], limit: int
) -> Iterable[dict[str, Any]]:
    """Rows, page by page, as the region links them."""
    url: str | httpx.URL = httpx.URL(path_of(resource), params=tuple(pairs))
    left = limit
    while url:
        body = checked(client.get(url))
        for row in body[resource.collection_key]:
            yield row
            left -= 1
            if left == 0:
                return
        links = body.get(f"{resource.collection_key}_links", [])
        url = next((link["href"] for link in links if link["rel"] == "next"), "")


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool() | int() | float() | str():
            return str(value)
        case list() if all(isinstance(one, str) for one in value):
            return ", ".join(value)
        case _:
            return json.dumps(value, sort_keys=True)
