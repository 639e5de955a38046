"""Settings that hosts are told, in a region of several processes on one PostgreSQL, with a real agent."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alcor.agent.simulated import SimulatedSwitch
from alcor.model.address import Mac, mac_int
from alcor.pipeline.text import render
from tests.contract.test_roles_apart import Tenant, active, plugged
from tests.support.apart import Apart, RoleProcess, an_agent, until
from tests.support.postgres import server

MACS = [f"02:a1:c0:00:00:0{number}" for number in range(4)]


@pytest.fixture
async def region(tmp_path: Path) -> AsyncIterator[Apart]:
    """An empty database and no process yet."""
    postgres = server()
    region = Apart(tmp_path, postgres.dsn(await postgres.fresh()))
    try:
        yield region
    finally:
        await asyncio.to_thread(region.ledger.sweep)


async def configured(region: Apart, name: str, mac: str) -> RoleProcess:
    """A dataplane that is configured to have hosts answer with an address."""
    file = region.folder / f"{name}.toml"
    file.write_text(f'[dataplane]\nresponder_mac = "{mac}"\n')
    return await asyncio.to_thread(region.add, name, "dataplane", flags=("--config", str(file)))


async def answers(switch: SimulatedSwitch, mac: str) -> None:
    """Wait until the host answers with this address, and with none of the others."""

    def is_told() -> bool:
        said = " ".join([render(flow) for flow in list(switch.tables.flows.values())])
        return [other for other in MACS if f"{mac_int(Mac(other)):#x}" in said] == [mac]

    await until(f"the host to answer as {mac}", is_told)


async def test_the_dataplane_that_started_last_decides(region: Apart) -> None:
    """An agent that had everything is told of another setting by a restart; of dataplanes that differ all follow the
    one that started last, and the others say so; nothing of it takes another epoch."""
    one = await configured(region, "dataplane-1", MACS[1])
    api = await asyncio.to_thread(region.add, "api-1", "api", "ncm")
    region.processes["api-2"] = api
    tenant = await asyncio.to_thread(Tenant, region)
    async with an_agent(region.data, tenant.host) as switch:
        port = await plugged(tenant, switch, "api-1")
        await active(tenant, switch, port, "api-1")
        await answers(switch, MACS[1])
        with region.client("api-1") as client:
            epoch = await asyncio.to_thread(client.show, "epoch")

        await asyncio.to_thread(one.kill)
        one = await configured(region, "dataplane-1", MACS[2])
        await answers(switch, MACS[2])

        two = await configured(region, "dataplane-2", MACS[3])
        await answers(switch, MACS[3])
        await until("the first to say so", lambda: "settings differ" in one.parts()["dataplane"])
        assert f'responder_mac "{MACS[2]}" here, "{MACS[3]}" told' in one.parts()["dataplane"]
        assert "settings differ" not in two.parts()["dataplane"]
        assert one.health() == (200, {})

        # The one that decided dies: what it decided stays, and nobody takes turns.
        await asyncio.to_thread(two.kill)
        await until("the first to have all shards", lambda: "holds 64 of 64" in one.parts()["dataplane"])
        await answers(switch, MACS[3])
        with region.client("api-1") as client:
            after = await asyncio.to_thread(client.show, "epoch")

    assert after["epoch"]["epoch"] == epoch["epoch"]["epoch"]
