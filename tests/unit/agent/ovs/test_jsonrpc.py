"""JSON-RPC without framing, and the OVSDB client on top of it, against scripted servers."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alcor.agent.driver import SwitchError
from alcor.agent.ovs import unixctl
from alcor.agent.ovs.jsonrpc import Framer, JsonRpc
from alcor.agent.ovs.ovsdb import BridgeRow, Database, InterfaceRow, to_map, to_set
from tests.support.ovs_peer import Talk, a_peer

_JSON = st.recursive(
    st.none() | st.integers(-5, 5) | st.text(alphabet='{}[]"\\a☃\n'),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='{}"\\b'), inner, max_size=3)
    ),
)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.dictionaries(st.text(alphabet='{}"\\c'), _JSON, max_size=3), max_size=5), st.data())
def test_objects_are_cut_apart_however_they_arrive(
    objects: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Braces and quotes inside strings, and cuts at any byte, change nothing."""
    stream = b"".join(orjson.dumps(value) for value in objects)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    framer = Framer()
    found: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += framer.feed(stream[start:end])

    assert [orjson.loads(text) for text in found] == objects


def a_server(answers: dict[str, Any], heard: list[dict[str, Any]], after: list[dict[str, Any]]) -> Talk:
    """A server that answers methods by name; after its first answer it says what is in `after`."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        framer = Framer()
        while data := await reader.read(4096):
            for text in framer.feed(data):
                message = orjson.loads(text)
                heard.append(message)
                if "method" in message and message["method"] in answers:
                    answer = answers[message["method"]]
                    error = answer if isinstance(answer, str) else None
                    result = None if error else answer
                    writer.write(orjson.dumps({"id": message["id"], "result": result, "error": error}))
                    while after:
                        writer.write(orjson.dumps(after.pop(0)))

    return talk


async def test_echoes_are_answered(tmp_path: Path) -> None:
    """ovsdb-server asks idle clients whether they live, and hangs up on those who do not answer."""
    heard: list[dict[str, Any]] = []
    echo = {"id": "echo", "method": "echo", "params": ["x"]}
    async with a_peer(tmp_path / "s", a_server({"list_dbs": []}, heard, [echo])):
        rpc = await JsonRpc.open(tmp_path / "s")
        await rpc.request("list_dbs", [])
        await rpc.request("list_dbs", [])
        rpc.close()

    assert {"id": "echo", "result": ["x"], "error": None} in heard


async def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    """The daemon's own words reach the caller."""
    async with a_peer(tmp_path / "s", a_server({"ofproto/trace": "Unknown bridge br-x\n"}, [], [])):
        with pytest.raises(SwitchError, match=r"ofproto/trace: Unknown bridge br-x$"):
            await unixctl.call(tmp_path / "s", "ofproto/trace", "br-x", "in_port=1")


INITIAL = {
    "Open_vSwitch": {"r": {"initial": {"bridges": ["uuid", "b"], "next_cfg": 4, "cur_cfg": 3}}},
    "Bridge": {"b": {"initial": {"name": "br-int", "ports": ["set", [["uuid", "p1"], ["uuid", "p2"]]],
                                 "external_ids": ["map", [["alcor:port:a", "1"], ["x", "y"]]]}}},
    "Interface": {"i": {"initial": {"name": "tap1", "ofport": 5}}},
}  # fmt: skip
UPDATE = {
    "Open_vSwitch": {"r": {"modify": {"cur_cfg": 4}}},
    "Bridge": {"b": {"modify": {"ports": ["uuid", "p2"], "fail_mode": "secure",
                                "external_ids": ["map", [["alcor:port:a", "1"], ["x", "z"], ["new", "1"]]]}}},
    "Interface": {"i": {"modify": {"ofport": ["set", []], "error": "no device"}},
                  "j": {"insert": {"name": "tap2", "external_ids": ["map", [["iface-id", "v"]]]}}},
}  # fmt: skip


UPDATES: list[dict[str, Any]] = [
    {"id": None, "method": "update2", "params": [None, UPDATE]},
    {"id": None, "method": "update2", "params": [None, {"Interface": {"i": {"delete": None}}}]},
]


async def test_differences_are_merged_into_rows(tmp_path: Path) -> None:
    """Sets and maps change by difference, single values by replacement; rows come and go."""
    changes: list[int] = []
    answers = {"monitor_cond": INITIAL, "transact": [{}]}
    updates: list[dict[str, Any]] = []
    async with a_peer(tmp_path / "s", a_server(answers, [], updates)):
        database = await Database.open(tmp_path / "s", lambda: changes.append(1))
        first = (database.interfaces["i"].ofport, dict(database.bridges["b"].external_ids))
        before = database.ports_version
        updates += UPDATES
        await database.transact({"op": "comment", "comment": "now"})
        await database.until(lambda: "i" not in database.interfaces)
        database.close()

    assert first == (5, {"alcor:port:a": "1", "x": "y"})
    assert database.roots["r"].cur_cfg == 4
    assert database.bridges["b"] == BridgeRow(
        name="br-int", fail_mode="secure", ports={"p1"}, external_ids={"x": "z", "new": "1"}
    )
    assert database.interfaces == {"j": InterfaceRow(name="tap2", external_ids={"iface-id": "v"})}
    assert database.ports_version > before
    assert len(changes) == 2


async def test_updates_that_come_with_the_first_answer_are_applied_after_it(tmp_path: Path) -> None:
    """A change between answer and next read is in the same segment; it builds on the rows of the answer."""
    async with a_peer(tmp_path / "s", a_server({"monitor_cond": INITIAL}, [], list(UPDATES))):
        database = await Database.open(tmp_path / "s", lambda: None)
        await database.until(lambda: "i" not in database.interfaces)
        database.close()

    assert database.roots["r"].cur_cfg == 4
    assert set(database.interfaces) == {"j"}


async def test_a_refused_operation_is_named(tmp_path: Path) -> None:
    """The error of a transaction names the operation, its table and the server's reason; so does its commit."""
    refused = [{}, {"error": "constraint violation", "details": "two of a kind"}, None]
    late = [{}, {}, {"error": "timed out"}]
    operations = [{"op": "insert", "table": "Port"}, {"op": "insert", "table": "Bridge"}]
    for results, complaint in (
        (refused, "insert Bridge: constraint violation: two of a kind"),
        (late, "commit"),
    ):
        path = tmp_path / complaint[:6]
        async with a_peer(path, a_server({"monitor_cond": {}, "transact": results}, [], [])):
            database = await Database.open(path, lambda: None)
            with pytest.raises(SwitchError, match=f"database refused {complaint}"):
                await database.transact(*operations)
            database.close()


async def test_waiting_ends_with_the_connection(tmp_path: Path) -> None:
    """Who waits for something the database will never say any more gets an error."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(orjson.dumps({"id": 1, "result": {}, "error": None}))

    async with a_peer(tmp_path / "s", hang_up):
        database = await Database.open(tmp_path / "s", lambda: None)
        with pytest.raises(SwitchError, match="the peer closed the connection"):
            await database.until(lambda: False)


def test_sets_and_maps_are_written_as_ovsdb_does() -> None:
    """Source: RFC 7047, section 5.1."""
    assert to_map({"a": "1"}) == ["map", [["a", "1"]]]
    assert to_set(["a"]) == ["set", ["a"]]
