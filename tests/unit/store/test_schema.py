"""What the declarations ask of a database."""

import dataclasses

import pytest

from alcor.model.catalogue import RESOURCES
from alcor.model.mac_allocation import MAC_ALLOCATION
from alcor.model.mac_range import MAC_RANGE
from alcor.model.network import NETWORK
from alcor.model.resource import Attribute, Resource
from alcor.model.subnet import SUBNET
from alcor.model.value import Boolean, Choice, Integer, Nullable, Text
from alcor.store.schema import ColumnType, Reference, render_schema
from alcor.store.sqlite.ddl import render_table
from tests.support.store import a_port


def test_every_resource_has_a_table_in_order() -> None:
    """The tables come as the resources are declared, parents before children."""
    assert [table.name for table in render_schema(RESOURCES).tables] == [r.name for r in RESOURCES]


@pytest.mark.parametrize(
    ("type", "column"),
    [
        (Text(), ColumnType.TEXT),
        (Integer(), ColumnType.INTEGER),
        (Boolean(), ColumnType.BOOLEAN),
        (Nullable(Integer()), ColumnType.INTEGER),
        (Choice((4, 6)), ColumnType.INTEGER),
        (Choice(("a", "b")), ColumnType.TEXT),
    ],
)
def test_a_column_has_the_type_of_its_attribute(type: object, column: ColumnType) -> None:
    """Numbers stay numbers, whether or not they may be null."""
    attribute = Attribute("mtu", type, column=True)  # type: ignore[arg-type]  # parametrised over value types
    (table,) = render_schema([dataclasses.replace(NETWORK, attributes=(attribute,))]).tables

    assert [(c.name, c.type) for c in table.columns] == [("mtu", column)]


def test_who_refers_to_whom() -> None:
    """References come from columns and from look-ups."""
    used_by = render_schema(RESOURCES).used_by

    assert Reference("network", "port", "port", "network_id", "id") in used_by["network"]
    assert Reference("network", "subnet", "subnet", "network_id", "id") in used_by["network"]
    assert Reference("subnet", "port", "port_fixed_ips", "subnet_id", "owner") in used_by["subnet"]
    assert used_by["token"] == []


def test_a_reference_needs_its_target_first() -> None:
    """A declaration that refers to a later or unknown resource is refused by name."""
    with pytest.raises(ValueError, match="network_id refers to network, which must be declared before mac"):
        render_schema((MAC_ALLOCATION, NETWORK))


def test_a_reference_must_be_a_column() -> None:
    """What is looked up from the parent's side needs an index."""
    attribute = Attribute("network_id", Text(), refers="network")
    with pytest.raises(ValueError, match="make it a column"):
        render_schema([NETWORK, dataclasses.replace(SUBNET, attributes=(attribute,))])


def test_a_column_must_be_a_field() -> None:
    """A column that the entity does not have is refused by name."""
    attribute = Attribute("no_such", Text(), column=True)
    with pytest.raises(ValueError, match=r"network\.no_such"):
        render_schema([dataclasses.replace(NETWORK, attributes=(attribute,))])


def test_equal_rows_have_equal_documents() -> None:
    """The order in which a dictionary was filled does not show."""
    table = render_schema(RESOURCES).by_kind["port"]
    row = a_port(binding_profile={"a": 1, "b": {"d": 2, "c": 3}})
    same = a_port(binding_profile={"b": {"c": 3, "d": 2}, "a": 1})

    assert table.encode(row) == table.encode(same)
    assert table.decode(table.encode(row)) == row


def _digests(resource: Resource) -> list[str]:
    """What an older database is compared with."""
    return [table.digest for table in render_schema([resource]).tables]


def test_the_fingerprint_follows_the_declarations() -> None:
    """It changes with what is stored beside the documents, and not with a text."""
    told = dataclasses.replace(MAC_RANGE, text="other words")
    narrowed = dataclasses.replace(MAC_RANGE, quota="mac_range")

    assert _digests(MAC_RANGE) == _digests(told)
    assert _digests(MAC_RANGE) != _digests(narrowed)


def test_the_sql_of_a_table() -> None:
    """A port's table: columns, foreign keys, an index per column, and one per column of its look-up."""
    text = "\n".join(render_table(render_schema(RESOURCES).by_kind["port"]))

    for line in (
        '"network_id" TEXT REFERENCES "network" (id)',
        "revision INTEGER NOT NULL, document TEXT NOT NULL",
        'ON "port" ("mac_address", "id")',
        'owner TEXT NOT NULL REFERENCES "port" (id) ON DELETE CASCADE, "subnet_id" TEXT REFERENCES "subnet" (id)',
        'ON "port_fixed_ips" ("subnet_id", "ip_address", "owner")',
        'ON "port_fixed_ips" ("ip_address", "subnet_id", "owner")',
        'ON "port_fixed_ips" ("owner")',
    ):
        assert line in text
