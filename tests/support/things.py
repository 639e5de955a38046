"""Two kinds of row that only the store's tests know: boxes, which are counted, and things in boxes, with labels."""

from typing import Any

from alcor.model.resource import Attribute, Entity, Lookup, Resource
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import Integer, Nullable, Text


class Box(Entity, frozen=True, kw_only=True, gc=False):
    """Something to put things in."""

    size: int = 0


class Thing(Entity, frozen=True, kw_only=True, gc=False):
    """Something with labels, perhaps in a box."""

    box_id: str | None = None
    colour: str | None = None
    weight: int | None = None
    labels: tuple[str, ...] = ()
    sides: tuple[tuple[str, str], ...] = ()


def _labels(row: Any) -> list[tuple[Any, ...]]:
    return [(label,) for label in row.labels]


def _sides(row: Any) -> list[tuple[Any, ...]]:
    return [tuple(side) for side in row.sides]


BOX = Resource(
    name="box",
    collection="boxes",
    entity=Box,
    attributes=(*STANDARD, Attribute("size", Integer(0, 100)), *COUNTED),
    quota="boxes_allowed",
)
THING = Resource(
    name="thing",
    collection="things",
    entity=Thing,
    attributes=(
        *STANDARD,
        Attribute("box_id", Nullable(Text(36)), column=True, refers="box"),
        Attribute("colour", Nullable(Text(36)), column=True),
        Attribute("weight", Nullable(Integer(0, 100))),
        *COUNTED,
    ),
    lookups=(Lookup("labels", ("label",), _labels), Lookup("sides", ("place", "mark"), _sides)),
)
THINGS = (BOX, THING)


def a_box(id: str = "box-1", project_id: str = "p-1", **fields: Any) -> Box:
    """A box of a project."""
    return Box(id=id, project_id=project_id, **fields)


def a_thing(id: str = "thing-1", *labels: str, **fields: Any) -> Thing:
    """A thing with labels."""
    return Thing(id=id, labels=labels, **{"project_id": "p-1", **fields})
