"""A real bgpd takes every line, and a state that was reached by differences is the one that a start gives."""

import subprocess
import time
from pathlib import Path

import pytest

from alcor.agent.bgp.config import Peer, Speech
from alcor.agent.bgp.daemon import PROGRAM, BgpError, Daemon, Place
from alcor.agent.bgp.vty import VtyError, vty
from tests.support.frr import reachable

pytestmark = [
    pytest.mark.ovs,
    pytest.mark.skipif(not PROGRAM.exists(), reason="FRR is not installed (bin/setup dev installs it)"),
]

ONE, TWO = "192.0.2.1", "2001:db8::2"
PEERS = {
    ONE: Peer(ONE, 64_500, "secret", (4, 6)),
    TWO: Peer(TWO, 64_512, "", (6,)),
}
FEW = Speech(
    64_512,
    "192.0.2.9",
    "192.0.2.9",
    peers={ONE: PEERS[ONE]},
    routes={"10.1.0.0/24": "203.0.113.5", "fd00:1::/64": "2001:db8:f::5"},
    told={ONE: frozenset(("10.1.0.0/24", "fd00:1::/64"))},
)
MANY = Speech(
    64_512,
    "192.0.2.9",
    "192.0.2.9",
    peers={ONE: PEERS[ONE]._replace(remote_as=64_501), TWO: PEERS[TWO]},
    routes={"10.1.0.0/24": "203.0.113.6", "10.2.0.0/24": "203.0.113.5", "fd00:2::/64": "2001:db8:f::6"},
    told={ONE: frozenset(("10.1.0.0/24", "10.2.0.0/24")), TWO: frozenset(("fd00:2::/64",))},
)
NOTHING = Speech(64_512, "192.0.2.9", "192.0.2.9", peers={TWO: PEERS[TWO]}, told={TWO: frozenset()})


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Where FRR's account may write."""
    reachable(tmp_path)
    return Place(tmp_path / "bgp" / "64512")


async def _running(place: Place) -> set[str]:
    """The configuration as bgpd has it; the numbers of entries of lists are its own business."""
    async with vty(place.socket) as talk:
        said = await talk.ask("show running-config")
    lines = [line.split() for line in said.splitlines() if line.strip(" !")]
    return {" ".join(word for word in line if not word.isdigit() or "seq" not in line) for line in lines}


async def test_differences_lead_where_a_start_leads(place: Place) -> None:
    """Whatever it said before, a bgpd that is told the difference has the configuration of one that starts with it."""
    fresh = {}
    for name, speech in (("few", FEW), ("many", MANY), ("nothing", NOTHING)):
        daemon = Daemon(place, time.monotonic)
        await daemon.bring(speech)
        fresh[name] = await _running(place)
        await daemon.kill()
    changing = Daemon(place, time.monotonic)
    for name, speech in (("few", FEW), ("many", MANY), ("nothing", NOTHING), ("many", MANY), ("few", FEW)):
        await changing.bring(speech)
        assert await _running(place) == fresh[name]
    assert changing.starts == 1
    assert set(await changing.silent_peers()) == {ONE}

    await changing.retire()

    assert not place.folder.exists()
    assert not changing.runs


async def test_a_bgpd_that_an_agent_left_behind_is_replaced(place: Place) -> None:
    """There is one bgpd of a folder: a new agent's takes the place of a killed one's."""
    left, new = Daemon(place, time.monotonic), Daemon(place, time.monotonic)
    await left.bring(FEW)
    await new.bring(MANY)

    assert len(_bgpds(place)) == 1
    await new.retire()
    await left.kill()
    assert _bgpds(place) == []


def _bgpds(place: Place) -> list[str]:
    done = subprocess.run(["pgrep", "-f", str(place.pid_file)], capture_output=True, text=True, check=False)
    return done.stdout.split()


async def test_one_that_cannot_start_is_tried_less_and_less(place: Place) -> None:
    """What ends at once is complained of, and not started again before its time."""
    now = [1_000.0]
    daemon = Daemon(Place(place.folder, Path("/bin/false")), lambda: now[0])
    starts = []
    for _ in range(200):
        with pytest.raises(BgpError):
            await daemon.bring(FEW)
        starts.append(daemon.starts)
        now[0] += 0.5

    assert daemon.starts < 12
    assert starts[0] == 1


async def test_nobody_there_is_an_error_that_names_the_place(tmp_path: Path) -> None:
    """Asking a daemon that is not there says where it should be."""
    with pytest.raises(VtyError, match=r"nowhere\.vty"):
        async with vty(tmp_path / "nowhere.vty"):
            pass
