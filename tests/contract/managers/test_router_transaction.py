"""Routers and floating IPs under failures and under several writers."""

import asyncio
from typing import Any

from alcor.model.errors import AlcorError, Problem
from alcor.model.floatingip import FloatingIp
from alcor.model.port import Port
from tests.contract.managers.test_floatingip import Site, site
from tests.support.managers import Desk
from tests.support.steps import Request, fail_each_step

__all__ = ["site"]


async def test_a_failure_at_any_step_of_a_routers_life_leaves_nothing(desk: Desk) -> None:
    """Each request, failed at each of its steps in turn; at the end no row and no claim is left."""
    rows: dict[str, Any] = {}

    def create(name: str, resource: str, /, **said: Any) -> Request:
        async def request(desk: Desk) -> None:
            found = {key: rows[value].id if key.endswith("_id") else value for key, value in said.items()}
            rows[name] = await desk.create(resource, **found)

        return request

    def act(action: str, **body: Any) -> Request:
        return lambda desk: desk.act(rows["router"], action, **{k: rows[v].id for k, v in body.items()})

    def delete(name: str) -> Request:
        return lambda desk: desk.delete(rows[name])

    async def router(desk: Desk) -> None:
        info = {"network_id": rows["outside"].id}
        rows["router"] = await desk.create("router", external_gateway_info=info)

    async def forwarding(desk: Desk) -> None:
        rows["forwarding"] = await desk.create_part(
            "port_forwarding",
            rows["floating"],
            internal_port_id=rows["port"].id,
            internal_ip_address=rows["port"].fixed_ips[0].ip_address,
            protocol="tcp",
            external_port=80,
            internal_port=80,
        )

    async def helper(desk: Desk) -> None:
        await desk.create_part("conntrack_helper", rows["router"], helper="ftp", protocol="tcp", port=21)

    requests: list[Request] = [
        create("outside", "network", router_external=True),
        create("public", "subnet", network_id="outside", ip_version=4, cidr="203.0.113.0/24"),
        create("inner", "network"),
        create("subnet", "subnet", network_id="inner", ip_version=4, cidr="10.0.0.0/24"),
        router,
        helper,
        act("add_router_interface", subnet_id="subnet"),
        create("port", "port", network_id="inner"),
        create("floating", "floatingip", floating_network_id="outside", port_id="port"),
        lambda desk: desk.update(rows["floating"], port_id=None),
        forwarding,
        delete("port"),
        act("remove_router_interface", subnet_id="subnet"),
        delete("router"),
        delete("outside"),
        delete("inner"),
    ]

    steps = [await fail_each_step(desk, request) for request in requests]

    assert all(count >= 1 for count in steps)
    left = desk.dump()
    tables = ("router", "floatingip", "port_forwarding", "conntrack_helper", "port", "subnet", "network")
    assert [left[table] for table in tables] == [[]] * len(tables)
    assert {space for space, *_ in left["claim"]} <= {"default_group", "group_rule"}


async def test_one_of_many_gets_the_address_of_a_port(site: Site) -> None:
    """Of several floating IPs for one address at once one is made; the others leave no port behind."""

    async def one() -> FloatingIp | AlcorError:
        try:
            return await site.floating(port_id=site.port.id)
        except AlcorError as error:
            return error

    answers = await asyncio.gather(*(one() for _ in range(8)))

    [made] = [answer for answer in answers if isinstance(answer, FloatingIp)]
    refused = [answer for answer in answers if isinstance(answer, AlcorError)]
    assert {error.problem for error in refused} == {Problem.FIXED_IP_ASSOCIATED}
    outer = [port for port in await site.desk.store.reader.list(Port) if port.device_id == made.id]
    assert [port.id for port in outer] == [made.floating_port_id]
    assert len(await site.desk.store.reader.list(Port)) == 4


async def test_one_of_two_overlapping_subnets_is_attached(desk: Desk) -> None:
    """However close together the two requests come."""
    router = await desk.create("router")
    subnets = []
    for cidr in ("10.0.0.0/24", "10.0.0.0/25"):
        network = await desk.create("network")
        subnets.append(await desk.create("subnet", network_id=network.id, ip_version=4, cidr=cidr))

    async def one(subnet: Any) -> bool:
        try:
            await desk.act(router, "add_router_interface", subnet_id=subnet.id)
        except AlcorError:
            return False
        return True

    assert sorted(await asyncio.gather(*(one(subnet) for subnet in subnets))) == [False, True]
