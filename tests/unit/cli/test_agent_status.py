"""What `alcor-agent status` tells a person."""

from typing import Any

import pytest

from alcor.cli.agent_status import print_status


def facts(*, connected: bool, in_sync: bool) -> dict[str, Any]:
    """Of a host without ports."""
    return {
        "host": {"name": "web-1", "id": "host-id", "vtep_addresses": ["192.0.2.11"]},
        "region": {"state": "connected", "error": "", "epoch": 1},
        "switch": {"connected": connected, "error": "" if connected else "no answer", "flows": 0},
        "counters": {"flow_changes": 0},
        "in_sync": in_sync,
        "missing": [],
        "hold": "",
        "ports": {},
    }


@pytest.mark.parametrize(
    ("connected", "in_sync", "said"),
    [
        (True, True, "In sync  yes"),
        (False, True, "In sync  with the region; the switch gets it when it is back"),
        (True, False, "In sync  no, missing nothing"),
    ],
)
def test_a_host_without_its_switch_is_not_said_to_be_well(
    connected: bool, in_sync: bool, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """To have everything of the region is not to have it in the switch."""
    print_status(facts(connected=connected, in_sync=in_sync))

    assert said in capsys.readouterr().out
