"""A node's table: items, and what they are made of when somebody asks."""

from alcor.goalstate.node.contract import Table, Unmade
from alcor.goalstate.security_item import Prefix


class _Recipe:
    def __init__(self, id: str) -> None:
        self.id = id


def _table(made: list[str]) -> Table[Prefix]:
    def make(recipe: _Recipe) -> Prefix:
        made.append(recipe.id)
        return Prefix(id=recipe.id)

    table: Table[Prefix] = Table(Unmade(_Recipe, make))
    table.begin({"s": {"a": _Recipe("a"), "b": _Recipe("b")}, "t": {"c": _Recipe("c")}})
    table.settle()
    return table


def test_an_item_is_made_when_it_is_asked_for() -> None:
    """What a load begins with costs nothing until then; of a scope or an item only its own is made."""
    made: list[str] = []
    table = _table(made)

    assert (list(table.scope_ids()), list(table.ids_of("s")), made) == (["s", "t"], ["a", "b"], [])
    assert (table.find("t", "c"), made) == (Prefix(id="c"), ["c"])
    assert (list(table.items_of("s")), made) == ([Prefix(id="a"), Prefix(id="b")], ["c", "a", "b"])
    assert (table.find("s", "c"), table.find("u", "a"), list(table.items_of("u"))) == (None, None, [])


def test_a_turn_tells_what_was_there_before_it_was_made() -> None:
    """Putting an equal item is no change; a removed or another one is told with what it would have been."""
    table = _table([])
    table.set("s", "a", Prefix(id="a"))
    table.set("s", "b", Prefix(id="b2"))
    table.set("t", "c", None)

    assert list(table.take()) == [
        ("s", "b", Prefix(id="b"), Prefix(id="b2")),
        ("t", "c", Prefix(id="c"), None),
    ]
    assert list(table.scope_ids()) == ["s"]
    assert list(table.items_of("s")) == [Prefix(id="a"), Prefix(id="b2")]


def test_a_run_over_what_was_loaded_names_only_what_differs() -> None:
    """`replace` compares with what would be made; `take` right after a load tells all of it."""
    table = _table([])
    table.replace([("s", Prefix(id="a")), ("s", Prefix(id="b")), ("t", Prefix(id="d"))])

    assert list(table.take()) == [("t", "c", Prefix(id="c"), None), ("t", "d", None, Prefix(id="d"))]
    fresh: Table[Prefix] = Table(Unmade(_Recipe, lambda recipe: Prefix(id=recipe.id)))
    fresh.begin({"s": {"a": _Recipe("a")}})
    assert list(fresh.take()) == [("s", "a", None, Prefix(id="a"))]
