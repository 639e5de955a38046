"""`alcor simulate`: every workload, small, on real processes with real agents; loading; the command."""

import asyncio
import io
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from alcor.cli.main import app
from alcor.lab.command import LabError
from alcor.lab.ledger import Ledger
from alcor.lab.simulate.audit import read_rows
from alcor.lab.simulate.direct import direct_loader
from alcor.lab.simulate.load import ApiLoader, Loaded, load
from alcor.lab.simulate.main import Outcome, Wish, simulate
from alcor.lab.simulate.plan import Flows, Plan
from alcor.lab.simulate.region import start_region
from alcor.lab.simulate.run import Run, churn
from alcor.lab.simulate.workload import WORKLOADS, Workload
from alcor.model.region_setting import RegionSetting
from alcor.model.resource import Entity
from tests.support.postgres import server

GUIDE, REFERENCE = Path("docs/guides/scale.md"), Path("docs/reference/simulate.md")

Row = dict[str, Any]


async def run(workload: str, *, report: Path | None = None, ports: int = 120, **said: Any) -> Outcome:
    """A small run of a workload."""
    chosen = WORKLOADS[workload]
    numbers = {"hosts": 24, "sample": 6, "duration_s": 1.5, "rate": 12.0, "share": 0.4} | said.pop("plan", {})
    plan = Plan(sizes=chosen.sizes(ports, 6), **numbers)
    wish = Wish(chosen, plan, workers=2, deadline_s=60, report=report, **said)
    return await simulate(wish, Console(file=io.StringIO()), quiet=True)


@pytest.mark.parametrize(
    ("workload", "seed"),
    [
        ("churn", 1),
        ("storm", 3),
        ("loss", 6),
        *(pytest.param(*case, marks=pytest.mark.long) for case in (("churn", 2), ("vpc", 4), ("mixed", 5))),
    ],
)
async def test_a_workload_ends_sound(workload: str, seed: int) -> None:
    """All hosts have the head, the audited ones exactly the flows of intent, sampled ports are ACTIVE."""
    outcome = await run(workload, plan={"seed": seed})
    facts = outcome.facts

    assert (outcome.is_sound, facts["outcome"], facts["findings"]) == (True, "sound", [])
    assert facts["audit"]["hosts"] == 6
    assert facts["audit"]["flows"] > 100
    assert facts["audit"]["ports_active"] == 20
    assert facts["changes"]["confirmed"] > 0
    if workload == "loss":
        lost, back = facts["phases"][1], facts["phases"][2]
        assert (lost["hosts lost"], back["hosts back"], back["boot_ms"]["count"]) == (10, 10, 10)


async def test_a_region_that_is_killed_comes_back_with_its_hosts() -> None:
    """kill -9 of the one process: agents attach again, and what changes next reaches them."""
    outcome = await run("restart")

    assert outcome.facts["outcome"] == "sound"
    assert [phase["name"] for phase in outcome.facts["phases"]] == [
        "boot",
        "restart region",
        "churn",
        "audit",
    ]


async def test_two_dataplanes_and_two_ncms_on_postgresql() -> None:
    """Both dataplanes have a share, hosts attach to both ncms, and what is changed reaches them all the same."""
    url = server().dsn(await server().fresh())
    outcome = await run("churn", database=url, ncms=2, dataplanes=2, plan={"hosts": 12})
    facts = outcome.facts

    assert (outcome.is_sound, facts["outcome"], facts["findings"]) == (True, "sound", [])
    assert {"dataplane-1", "dataplane-2", "ncm-1", "ncm-2"} <= set(facts["memory"])
    assert facts["changes"]["confirmed"] > 0


@pytest.mark.long
async def test_roles_of_their_own_on_postgresql(tmp_path: Path) -> None:
    """api, dataplane and two ncms as processes, each killed and started again, then all of them together."""
    url = server().dsn(await server().fresh())
    outcome = await run("restart", database=url, ncms=2, report=tmp_path)
    names = [phase["name"] for phase in outcome.facts["phases"]]

    assert outcome.facts["outcome"] == "sound"
    assert names[1:6] == [
        "restart api",
        "restart dataplane",
        "restart ncm-1",
        "restart ncm-2",
        "restart api, dataplane, ncm-1, ncm-2",
    ]
    assert set(outcome.facts["memory"]) == {"api", "dataplane", "ncm-1", "ncm-2", "hosts-1", "hosts-2"}


async def test_a_large_network_is_held_on_demand_and_audited_so() -> None:
    """Hosts hold the ports they looked up; each of them is as intent says, and the new ones are found."""
    outcome = await run("vpc", lazy_above=60)
    new_ports = outcome.facts["phases"][2]

    assert outcome.facts["outcome"] == "sound"
    assert (new_ports["name"], new_ports["on demand"]) == ("new ports", True)
    assert new_ports["reached_ms"]["count"] == 20
    assert {"commit", "follow", "compile", "publish", "receive", "install", "ack"} <= set(
        outcome.facts["stages_ms"]
    )


@pytest.mark.parametrize("flows", [Flows.SAMPLE, Flows.NONE])
async def test_flows_may_rest(flows: Flows) -> None:
    """Then hosts receive and acknowledge only, and the report says so; audited hosts compute theirs with `sample`."""
    outcome = await run("churn", plan={"flows": flows})
    is_audited = flows is Flows.SAMPLE

    assert outcome.is_sound
    assert (outcome.facts["audit"]["flows"] > 0) is is_audited
    assert "acknowledged" in outcome.facts["flows_meaning"]


async def test_the_report_has_every_figure_and_its_plots(tmp_path: Path) -> None:
    """report.json is what the run says, report.html needs no other file."""
    outcome = await run("churn", report=tmp_path / "out")
    found = orjson.loads((tmp_path / "out" / "report.json").read_bytes())
    page = (tmp_path / "out" / "report.html").read_text()

    assert found == orjson.loads(orjson.dumps(outcome.facts))
    assert {path.name for path in outcome.written} == {
        *("report.json", "report.html", "hosts.svg", "latency.svg"),
        *("stages.svg", "region_stages.svg", "memory.svg", "cpu.svg", "wire.svg"),
    }
    assert page.count("<svg") == 7
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )


async def test_few_ports_under_churn_stay_few() -> None:
    """About as many are deleted as come, also when all of them were changed already: their subnet never fills."""

    async def busy(run: Run) -> None:
        await run.boot(at_once_max=0)
        await run.step("churn", lambda: churn(run, 4, 40))

    outcome = await simulate_small(Workload("busy", "", busy), sizes=(3,))
    kinds = outcome.facts["changes"]["by kind"]

    assert outcome.is_sound
    assert kinds["create"]["count"] - kinds["delete"]["count"] < 40


async def test_what_is_not_as_intent_says_is_found() -> None:
    """The audit is no formality: ports that vanish from the rows without a change are found on audited hosts."""

    async def behind_its_back(run: Run) -> None:
        await run.boot(at_once_max=0)
        assert run.region.data is not None
        with closing(sqlite3.connect(run.region.data / "alcor.db")) as database:
            database.execute("DELETE FROM port WHERE rowid % 2")
            database.commit()

    outcome = await simulate_small(Workload("sabotage", "", behind_its_back))

    assert not outcome.is_sound
    assert any("which intent does not give" in finding for finding in outcome.facts["findings"])


async def test_hosts_that_do_not_have_everything_are_a_failure() -> None:
    """It says how many have the head, and how long it waited."""

    async def lose_one(run: Run) -> None:
        await run.boot(at_once_max=0)
        await run.fleet.kill([run.plan.host_name(3)])
        await run.step("wait", lambda: converged(run))

    async def converged(run: Run) -> dict[str, Any]:
        await run.converge()
        return {}

    outcome = await simulate_small(Workload("one dies", "", lose_one), deadline_s=3)

    assert not outcome.is_sound
    assert "failed in wait: not converged after 3 s: 7 of 8 hosts" in outcome.facts["outcome"]


async def simulate_small(
    workload: Workload, *, deadline_s: float = 30, sizes: tuple[int, ...] = (20, 20)
) -> Outcome:
    """Eight hosts, all audited."""
    wish = Wish(workload, Plan(hosts=8, sizes=sizes, sample=8), deadline_s=deadline_s)
    return await simulate(wish, Console(file=io.StringIO()), quiet=True)


# --- loading ------------------------------------------------------------------------------------------


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path)
    yield ledger
    ledger.sweep()


# What is made by chance or by the clock, and what says who asked.
_BY_CHANCE = {
    "id",
    "created_at",
    "updated_at",
    "mac_address",
    "fixed_ips",
    "token_digest",
    "segmentation_id",
    "provider_segmentation_id",
}


def shape(rows: dict[type[Entity], list[Entity]], names: dict[str, str]) -> dict[str, list[str]]:
    """All rows without what is made by chance; ids of others by the names of what they mean."""

    def text(row: Entity) -> str:
        kept = {name: getattr(row, name) for name in row.__struct_fields__ if name not in _BY_CHANCE}
        said = repr(sorted(kept.items()))
        for id, name in names.items():
            said = said.replace(id, name)
        return said

    return {entity.__name__: sorted(map(text, some)) for entity, some in rows.items()}


async def test_the_direct_path_gives_the_rows_that_the_api_gives(tmp_path: Path, ledger: Ledger) -> None:
    """Rows of every kind, counts of projects and claims: the same but for ids, times and chance."""
    plan = Plan(hosts=6, sizes=(40, 25, 3))
    paths = tmp_path / "direct" / "region", tmp_path / "api" / "region"
    async with direct_loader(paths[0], "") as loader:
        direct = await load(loader, plan, lambda _done, _all: None)
    paths[1].parent.mkdir()
    region = await asyncio.to_thread(
        lambda: start_region(paths[1].parent, ledger, store_url="", ncms=1, dataplanes=1, database=None)
    )
    headers = {"X-Auth-Token": region.token}
    async with httpx.AsyncClient(base_url=region.endpoint, headers=headers) as http:
        by_api = await load(ApiLoader(http), plan, lambda _done, _all: None)
    rows = [await read_rows(path, "") for path in paths]

    assert direct.port_count == by_api.port_count == 68
    shapes = (
        shape(rows[0].rows, meanings(direct, rows[0].rows)),
        shape(rows[1].rows, meanings(by_api, rows[1].rows)),
    )
    # A dataplane's start sets the settings' row; the direct path has none.
    assert [len(one.pop(RegionSetting.__name__, [])) for one in shapes] == [0, 1]
    assert shapes[0].keys() == shapes[1].keys()
    for kind, texts in shapes[0].items():
        for mine, other in zip(texts, shapes[1][kind], strict=True):
            assert mine == other


def meanings(loaded: Loaded, rows: dict[type[Entity], list[Entity]]) -> dict[str, str]:
    """What the ids of a region stand for, as far as rows refer to them."""
    found = {id: f"network-{number}" for number, id in loaded.networks.items()}
    found |= {id: f"host-{name}" for name, (id, _) in loaded.hosts.items()}
    for some in rows.values():
        for row in some:
            if row.__class__.__name__ == "SecurityGroup":
                found[row.id] = f"group-{getattr(row, 'project_id', '')}-{getattr(row, 'name', '')}"
    return found


# --- the command --------------------------------------------------------------------------------------


def test_list_explains_every_workload() -> None:
    """One line each."""
    done = CliRunner().invoke(app, ["simulate", "list"])

    assert done.exit_code == 0
    assert all(name in done.output for name in WORKLOADS)


def test_the_command_prints_json_and_ends_with_0() -> None:
    """As report.json; the exit status says whether it was sound."""
    sizes = ["--hosts", "20", "--ports", "60", "--networks", "3", "--sample", "3"]
    words = ["simulate", "storm", *sizes, "--duration", "1", "-f", "json"]
    done = CliRunner().invoke(app, words)

    assert done.exit_code == 0, done.output
    assert orjson.loads(done.stdout)["outcome"] == "sound"


def guide_commands() -> list[list[str]]:
    """What the guide has people type."""
    found = re.findall(r"^alcor simulate (.*)$|`alcor simulate (vpc .*?)`", GUIDE.read_text(), re.MULTILINE)
    return [(one or other).split() for one, other in found]


def test_the_guide_names_flags_that_there_are() -> None:
    """Every command of the guide and every option of the reference is one."""
    command = typer.main.get_command(app).commands["simulate"]  # type: ignore[attr-defined]  # a group
    options = {name for parameter in command.params for name in parameter.opts}
    commands = guide_commands()
    for words in commands:
        command.make_context("simulate", list(words))
    named = set(re.findall(r"`(--[a-z-]+)`", REFERENCE.read_text()))

    assert len(commands) == 6
    assert named == {name for name in options if name.startswith("--")} - {"--format"}


@pytest.mark.long
def test_the_guides_first_run_is_sound(tmp_path: Path) -> None:
    """With fewer hosts than it names."""
    words = next(words for words in guide_commands() if words[0] == "churn")
    smaller = [
        "--hosts",
        "12",
        "--ports",
        "60",
        "--networks",
        "3",
        "--duration",
        "1",
        "--report",
        str(tmp_path),
    ]
    done = CliRunner().invoke(app, ["simulate", *words, *smaller])

    assert done.exit_code == 0, done.output
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["tempest"], "a workload is one of"),
        (["--hosts", "0"], "--hosts"),
        (["--hosts", "200000"], "--hosts 200000"),
        (["--ncms", "2"], "--database postgres"),
        (["--flows", "some"], "--flows some"),
        (["--api", "http://127.0.0.1:1"], "--ncm ADDRESS"),
        (["--api", "http://127.0.0.1:1", "--token", "x", "--ncm", "127.0.0.1:1"], "POST http://127.0.0.1:1/"),
        (["--rows", "postgresql:///x"], "need --api"),
        (["--networks", "0"], "--networks"),
        (["--density", "0"], "--density"),
        (["--sample", "-1"], "--sample"),
        (["--workers", "0"], "--workers"),
        (["--ncms", "0"], "--ncms"),
        (["--rate", "0"], "--rate"),
        (["--deadline", "0"], "--deadline"),
        (["--format", "yaml"], "--format"),
        (["--database", "oracle"], "postgresql://"),
        (
            ["--database", "postgresql://x:y@127.0.0.1:1/none"],
            "The database none at 127.0.0.1:1 cannot be reached",
        ),
        (["--report", "/proc/report"], "--report /proc/report: "),
        (["--report", "pyproject.toml"], "--report pyproject.toml: "),
        (["--hosts", "90000", "--workers", "1"], "open files"),
    ],
)
def test_what_cannot_be_tried_is_a_sentence_and_2(words: list[str], reason: str) -> None:
    """Nothing was started; the way out is named."""
    done = CliRunner().invoke(app, ["simulate", *words])

    assert done.exit_code == 2
    assert reason in done.output.replace("\n", " ")


def test_a_plan_without_ports_is_refused() -> None:
    """Before anything starts."""
    with pytest.raises(LabError, match="--ports"):
        Plan(sizes=())
