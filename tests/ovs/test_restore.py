"""A region whose database is yesterday's: on real switches, what lives goes on, is listed, and is imported again."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from alcor.lab.moving import MovingVm
from alcor.lab.site import Site, running_site
from alcor.lab.stream import PingStream
from tests.support.scenario import Machine, a_dual_network, a_group, agent_status, machines

pytestmark = pytest.mark.ovs

PING = {"protocol": "icmp"}
DATABASE = "alcor.db"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Two hosts."""
    folder = tmp_path / "site"
    folder.mkdir()
    with running_site(folder, "left", "right") as site:
        yield site


def _back_up(site: Site, to: Path) -> None:
    """As an operator does it, while the region runs."""
    with (
        closing(sqlite3.connect(site.region.data / DATABASE)) as here,
        closing(sqlite3.connect(to)) as there,
    ):
        here.backup(there)


def _restore(site: Site, backup: Path) -> None:
    """The region dies, its database is replaced by the backup, it starts again."""
    site.region.kill()
    for file in site.region.data.glob(f"{DATABASE}*"):
        file.unlink()
    shutil.copy(backup, site.region.data / DATABASE)
    site.restart_region()


def _alcor(site: Site, *words: str) -> tuple[int, str]:
    """(exit status, output) of an `alcor` command on the site's region."""
    command = [sys.executable, "-m", "alcor.cli.main", *words, "--data", str(site.region.data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def _shown(site: Site) -> dict[str, Any]:
    status, text = _alcor(site, "epoch", "show", "--format", "json")
    assert status in (0, 3), text
    shown: dict[str, Any] = orjson.loads(text)
    return shown


def _lists(site: Site, *ports: Machine) -> Callable[[], bool]:
    wanted = sorted(machine.port["id"] for machine in ports)
    return lambda: [one["port_id"] for one in _shown(site)["orphans"]] == wanted


def _is_active(site: Site, machine: Machine) -> bool:
    return site.port_status(machine.port["id"]) == "ACTIVE"


def _hold(site: Site, host: str) -> str:
    return str(agent_status(site, host)["hold"])


def _a_world(site: Site, backup: Path) -> tuple[Machine, Machine, Machine]:
    """(known, lost, lost too): two machines that the backup does not know, and one that it does, in one network."""
    network, _ = a_dual_network(site, "restored", 80)
    group = a_group(site, "restored", PING, {"protocol": "icmpv6", "ethertype": "IPv6"})
    said = {"security_groups": [group["id"]]}
    (known,) = machines(site, ("known", "left", network, said))
    _back_up(site, backup)
    lost, lost_too = machines(site, ("lost", "right", network, said), ("lost-too", "left", network, said))
    return known, lost, lost_too


def test_yesterdays_database(site: Site, tmp_path: Path) -> None:
    """No living VM loses a packet to a restore; those that are not known are listed, imported as they were, and the
    hold ends by itself."""
    backup = tmp_path / "backup.db"
    known, lost, lost_too = _a_world(site, backup)
    ways = ((known, lost.ip), (known, lost_too.ip), (lost, lost_too.ip6))
    site.wait("all to talk", lambda: all(machine.reaches(ip) for machine, ip in ways))
    before = _shown(site)["epoch"]
    with (
        PingStream(known.namespace, lost.ip, every_s=0.05) as across,
        PingStream(known.namespace, lost_too.ip, every_s=0.05) as beside,
        PingStream(lost.namespace, lost_too.ip6, every_s=0.05) as between,
    ):
        _restore(site, backup)
        site.wait("the new epoch", lambda: _shown(site)["epoch"] > before)
        site.wait("the lost ports to be listed", _lists(site, lost, lost_too))
        assert all("new epoch" in _hold(site, host) for host in site.hosts)

        status, text = _alcor(site, "recover", "--all")
        assert status == 0, text
        site.wait("the hold to end", lambda: not any(_hold(site, host) for host in site.hosts))
        for machine, host in ((lost, "right"), (lost_too, "left")):
            again = site.client.show(f"v2.0/ports/{machine.port['id']}")["port"]
            same = ("mac_address", "fixed_ips", "security_groups", "name")
            assert {name: again[name] for name in same} == {name: machine.port[name] for name in same}
            assert again["binding:host_id"] == host
            site.wait("it to be ACTIVE", partial(_is_active, site, machine))
        assert _alcor(site, "epoch", "show")[0] == 0
        results = [pings.stop(after_s=0.3) for pings in (across, beside, between)]
    assert [result.missing for result in results] == [(), (), ()]
    assert all(len(result.answers) > 20 for result in results)


def test_a_host_without_orphans(site: Site, tmp_path: Path) -> None:
    """A host that knows all of its ports keeps the flows to another host's living port that the region does not know:
    between restore and import nothing is lost. `alcor epoch show` says who holds and why."""
    backup = tmp_path / "backup.db"
    network, _ = a_dual_network(site, "restored", 80)
    group = a_group(site, "restored", PING, {"protocol": "icmpv6", "ethertype": "IPv6"})
    said = {"security_groups": [group["id"]]}
    (known,) = machines(site, ("known", "left", network, said))
    _back_up(site, backup)
    (lost,) = machines(site, ("lost", "right", network, said))
    site.wait("both to talk", lambda: known.reaches(lost.ip) and lost.reaches(known.ip6))
    with (
        PingStream(known.namespace, lost.ip, every_s=0.05) as there,
        PingStream(known.namespace, lost.ip6, every_s=0.05) as there_too,
        PingStream(lost.namespace, known.ip, every_s=0.05) as back,
    ):
        _restore(site, backup)
        site.wait("the lost port to be listed", _lists(site, lost))
        site.wait("its host to hold it", lambda: lost.port["id"] in _hold(site, "right"))
        site.wait("the other to be settled", lambda: "no port is unknown here" in _hold(site, "left"))
        assert agent_status(site, "left")["in_sync"]
        holding = {one["host"]: one["reason"] for one in _shown(site)["holding"]}
        assert "others are waited for" in holding["left"]
        assert holding["right"].endswith("live here: 1")
        # A new connection finds its way, too, as often as one may look.
        assert all(known.reaches(ip) for ip in (lost.ip, lost.ip6) * 3)
        assert "no port is unknown here" in _hold(site, "left")

        status, text = _alcor(site, "recover", "--all")
        assert status == 0, text
        site.wait("the hold to end", lambda: not any(_hold(site, host) for host in site.hosts))
        assert known.reaches(lost.ip)
        results = [pings.stop(after_s=0.3) for pings in (there, there_too, back)]
    assert [result.missing for result in results] == [(), (), ()]
    assert all(len(result.answers) > 20 for result in results)
    assert _alcor(site, "epoch", "show")[0] == 0


def test_a_machine_that_moved_since(site: Site, tmp_path: Path) -> None:
    """The database has it where it was. It keeps its flows where it lives, is listed, and is reached again once it is
    imported: bound where it lives."""
    backup = tmp_path / "backup.db"
    network, _ = a_dual_network(site, "restored", 80)
    group = a_group(site, "restored", PING)
    said = {"security_groups": [group["id"]]}
    (known,) = machines(site, ("known", "left", network, said))
    port = site.client.create("v2.0/ports", "port", network_id=network["id"], name="mover", **said)
    mover = Machine(site.boot_moving("mover", "left", port), port)
    site.bind(port["id"], "left")
    mover.vm.up()
    mover.vm.dhcp()
    site.wait("it to be reached", lambda: known.reaches(mover.ip))
    _back_up(site, backup)
    _move(site, mover, "right")
    site.wait("it to be reached where it is", lambda: known.reaches(mover.ip))
    _restore(site, backup)
    site.wait("it to be listed", _lists(site, mover))
    assert [one["host"] for one in _shown(site)["orphans"]] == ["right"]

    status, text = _alcor(site, "recover", mover.port["id"])

    assert status == 0, text
    assert "it was bound to host left, and lives on host right" in text
    site.wait("the hold to end", lambda: not any(_hold(site, host) for host in site.hosts))
    site.wait("it to be ACTIVE", partial(_is_active, site, mover))
    assert known.reaches(mover.ip)
    assert _alcor(site, "recover", mover.port["id"])[0] == 0


def _move(site: Site, mover: Machine, host: str) -> None:
    """As the compute service moves it, in short: plugged there, bound there, run there, unplugged here."""
    assert isinstance(mover.vm, MovingVm)
    before = mover.vm.host
    mover.vm.plug_on(site.hosts[host], mover.port["id"])
    site.bind(mover.port["id"], host)
    mover.vm.run_on(site.hosts[host])
    mover.vm.unplug_on(before)


def test_what_is_let_go(site: Site, tmp_path: Path) -> None:
    """Who is not imported lives, also through a restart of its agent, until it is released; then it is gone, and who
    is known talks on."""
    backup = tmp_path / "backup.db"
    known, lost, lost_too = _a_world(site, backup)
    site.wait("all to talk", lambda: known.reaches(lost.ip) and lost.reaches(lost_too.ip))
    _restore(site, backup)
    site.wait("the lost ports to be listed", _lists(site, lost, lost_too))
    site.hosts["right"].stop("agent")
    site.start_agent("right")
    site.wait("the lost ports to be listed again", _lists(site, lost, lost_too))
    assert known.reaches(lost.ip)
    assert _alcor(site, "recover", lost_too.port["id"])[0] == 0

    status, text = _alcor(site, "epoch", "release", "--yes")

    assert status == 0, text
    site.wait("the hold to end", lambda: not any(_hold(site, host) for host in site.hosts))
    site.wait("the port that was let go to be cut off", lambda: known.misses(lost.ip))
    assert known.reaches(lost_too.ip)
