"""Bindings of a port through the API, as the compute service uses them to move a server."""

from typing import Any

import pytest

from alcor.model.port import Port
from alcor.store.interface import Store
from tests.support.api import ADMIN_PROJECT, Api, error_of

Json = dict[str, Any]


@pytest.fixture
async def port(api: Api) -> Json:
    """A server's port on host-1; host-2 is there too."""
    for number in (1, 2):
        await api.made("host", name=f"host-{number}", vtep_addresses=[f"192.0.2.{number}"])
    network = await api.a_network()
    await api.a_subnet(network["id"])
    return await api.a_port(
        network["id"],
        device_owner="compute:nova",
        device_id="vm-1",
        **{"binding:host_id": "host-1", "binding:profile": {"a": "b"}},
    )


def path(port: Json, *more: str) -> str:
    """Where its bindings are."""
    return "/".join((f"/v2.0/ports/{port['id']}/bindings", *more))


async def prepare(api: Api, port: Json, host: str = "host-2", **said: Any) -> Any:
    """The answer to preparing a host."""
    return await api.post(path(port), {"binding": {"host": host, **said}})


async def test_the_ports_own_binding_is_the_active_one(api: Api, port: Json) -> None:
    """The collection shows what the port shows."""
    active = {
        "host": "host-1",
        "vif_type": "ovs",
        "vif_details": port["binding:vif_details"],
        "vnic_type": "normal",
        "profile": {"a": "b"},
        "status": "ACTIVE",
        "project_id": ADMIN_PROJECT,
    }

    assert await api.shown(path(port)) == [active]
    assert await api.shown(path(port, "host-1")) == active


async def test_a_second_host_stands_by(api: Api, port: Json) -> None:
    """It is bound there, and the port stays where it is."""
    answer = await prepare(api, port, profile={"c": "d"})

    assert answer.status_code == 201, answer.text
    binding = answer.json()["binding"]
    assert (binding["host"], binding["status"], binding["vif_type"], binding["profile"]) == (
        "host-2",
        "INACTIVE",
        "ovs",
        {"c": "d"},
    )
    now = await api.shown(f"/v2.0/ports/{port['id']}")
    assert (now["binding:host_id"], now["status"]) == ("host-1", port["status"])
    assert [one["host"] for one in await api.shown(path(port))] == ["host-1", "host-2"]
    assert await api.shown(path(port) + "?status=INACTIVE&fields=host") == [{"host": "host-2"}]


async def test_activating_moves_the_port(api: Api, port: Json) -> None:
    """The host it leaves stands by, unbound, until it is deleted."""
    await prepare(api, port, profile={"c": "d"})

    answer = await api.put(path(port, "host-2", "activate"), {})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["host"], answer.json()["status"]) == ("host-2", "ACTIVE")
    now = await api.shown(f"/v2.0/ports/{port['id']}")
    assert (now["binding:host_id"], now["binding:vif_type"], now["binding:profile"]) == (
        "host-2",
        "ovs",
        {"c": "d"},
    )
    left = await api.shown(path(port, "host-1"))
    assert (left["status"], left["vif_type"], left["vif_details"]) == ("INACTIVE", "unbound", {})
    assert (await api.delete(path(port, "host-1"))).status_code == 204
    assert [one["host"] for one in await api.shown(path(port))] == ["host-2"]


async def test_what_cannot_be_bound_or_activated(api: Api, port: Json) -> None:
    """Each refusal has the reference's type."""
    await prepare(api, port)

    assert error_of(await prepare(api, port))[:2] == (409, "PortBindingAlreadyExists")
    assert error_of(await prepare(api, port, "host-1"))[:2] == (409, "PortBindingAlreadyExists")
    assert error_of(await prepare(api, port, "host-9"))[:2] == (409, "PortBindingError")
    assert error_of(await prepare(api, port, "host-3", vnic_type="macvtap"))[:2] == (409, "PortBindingError")
    assert error_of(await api.put(path(port, "host-1", "activate"), {}))[:2] == (
        409,
        "PortBindingAlreadyActive",
    )
    for method, one in (
        ("GET", "host-9"),
        ("PUT", "host-9"),
        ("DELETE", "host-9"),
        ("PUT", "host-9/activate"),
    ):
        answer = await api.request(method, path(port, one), json={"binding": {}} if method == "PUT" else None)
        assert error_of(answer) == (
            404,
            "PortBindingNotFound",
            f"Port {port['id']} has no binding on host host-9.",
        )


@pytest.mark.parametrize(
    "body", [{}, {"binding": {}}, {"binding": {"host": ""}}, {"binding": {"host": "h", "colour": "red"}}]
)
async def test_bodies_that_say_no_binding(api: Api, port: Json, body: Json) -> None:
    """400."""
    assert (await api.post(path(port), body)).status_code == 400


async def test_a_binding_is_changed(api: Api, port: Json) -> None:
    """The active one with the port, one that stands by alone."""
    await prepare(api, port)

    standing = await api.put(path(port, "host-2"), {"binding": {"profile": {"x": 1}}})
    active = await api.put(path(port, "host-1"), {"binding": {"profile": {"y": 2}}})

    assert standing.json()["binding"]["profile"] == {"x": 1}
    assert active.json()["binding"]["profile"] == {"y": 2}
    assert (await api.shown(f"/v2.0/ports/{port['id']}"))["binding:profile"] == {"y": 2}


async def test_deleting_the_active_binding_unbinds_the_port(api: Api, port: Json) -> None:
    """The port stays."""
    assert (await api.delete(path(port, "host-1"))).status_code == 204

    now = await api.shown(f"/v2.0/ports/{port['id']}")
    assert (now["binding:host_id"], now["binding:vif_type"]) == ("", "unbound")


async def test_only_servers_ports_have_bindings(api: Api, port: Json) -> None:
    """Other ports do not move."""
    other = await api.a_port(port["network_id"])

    status, kind, message = error_of(await api.get(path(other)))
    assert (status, kind) == (400, "BadRequest")
    assert other["id"] in message


async def test_bindings_are_the_compute_services(member: Api, store: Store, port: Json) -> None:
    """Not a project's, not even for its own ports."""
    network = await member.a_network()
    own = await member.a_port(network["id"], device_owner="compute:nova")

    for one in (own, port):
        assert error_of(await member.get(path(one)))[:2] == (403, "PolicyNotAuthorized")
        assert error_of(await prepare(member, one))[:2] == (403, "PolicyNotAuthorized")


async def test_the_generation_counts_a_move(api: Api, store: Store, port: Json) -> None:
    """What was seen on the old host is no longer true; preparing a host changes nothing that is seen."""
    before = await store.reader.find(Port, port["id"])
    await prepare(api, port)
    prepared = await store.reader.find(Port, port["id"])
    await api.put(path(port, "host-2", "activate"), {})
    moved = await store.reader.find(Port, port["id"])

    generations = [row.binding_generation for row in (before, prepared, moved) if row is not None]
    assert generations == [0, 0, 1]
