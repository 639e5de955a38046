"""Queries walk indexes: SQLite's own plan says so."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from alcor.model.catalogue import RESOURCES
from alcor.store.interface import Condition, Query, Sort
from alcor.store.schema import Table, render_schema
from alcor.store.sqlite.rows import list_documents
from alcor.store.sqlite.upgrade import prepare_schema
from tests.support.store import a_port

SCHEMA = render_schema(RESOURCES)
PORT_TABLE = SCHEMA.by_kind["port"]


class Explaining(sqlite3.Connection):
    """Remembers the plan of every list it runs."""

    plans: list[str]

    def execute(self, sql: str, parameters: object = (), /) -> sqlite3.Cursor:
        if "ORDER BY" in sql:
            plan = super().execute(f"EXPLAIN QUERY PLAN {sql}", parameters)  # type: ignore[arg-type]  # as above
            self.plans.append(" / ".join(row[3] for row in plan))
        return super().execute(sql, parameters)  # type: ignore[arg-type]  # as above


@pytest.fixture
def connection() -> Iterator[Explaining]:
    """An empty database in memory that holds one port, for the marker."""
    with closing(sqlite3.connect(":memory:", isolation_level=None, factory=Explaining)) as opened:
        opened.plans = []
        prepare_schema(opened, SCHEMA, Path(":memory:"), now_ms=1)
        opened.execute("PRAGMA foreign_keys=OFF")
        row = a_port(name="n", device_id="d")
        names = ", ".join(column.name for column in PORT_TABLE.columns)
        marks = ", ".join("?" * (len(PORT_TABLE.columns) + 3))
        opened.execute(
            f"INSERT INTO port (id, {names}, revision, document) VALUES ({marks})",
            (row.id, *PORT_TABLE.keys(row), 1, PORT_TABLE.encode(row)),
        )
        yield opened


def plans(connection: Explaining, table: Table, query: Query) -> list[str]:
    """How SQLite walks each range of the query."""
    connection.plans.clear()
    list_documents(connection, table, query)
    return connection.plans


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("field", ["id", *(column.name for column in PORT_TABLE.columns)])
def test_a_page_by_any_column_is_an_index_walk(
    connection: Explaining, field: str, descending: bool, reverse: bool
) -> None:
    """Whichever column, direction and page: an index gives the order, nothing is sorted."""
    for marker in (None, "port-1"):
        query = Query(sort=(Sort(field, descending),), limit=10, marker=marker, reverse=reverse)
        walked = plans(connection, PORT_TABLE, query)

        assert walked
        for plan in walked:
            assert "INDEX" in plan
            assert "TEMP B-TREE" not in plan
            assert marker is None or plan.startswith("SEARCH")


def test_a_page_of_one_network_is_an_index_walk(connection: Explaining) -> None:
    """A filter on a column, paged by id, reads only what it returns."""
    where = (Condition("network_id", ("net-1",)),)

    (plan,) = plans(connection, PORT_TABLE, Query(where, limit=10, marker="port-1"))

    assert plan == "SEARCH port USING INDEX port_by_network_id_id (network_id=? AND id>?)"


@pytest.mark.parametrize("values", [1, 3, 100])
def test_an_address_is_looked_up(connection: Explaining, values: int) -> None:
    """A filter on a look-up reads the side table's index, then the rows it names."""
    addresses = tuple(f"10.0.0.{number}" for number in range(values))
    where = (Condition("fixed_ips.ip_address", addresses),)

    (plan,) = plans(connection, PORT_TABLE, Query(where))

    assert plan.startswith("SEARCH port USING INDEX sqlite_autoindex_port_1 (id=?)")
    assert "USING COVERING INDEX port_fixed_ips_by_ip_address_subnet_id_owner (ip_address=?" in plan
