"""What a host that left its region takes out of its switch."""

import asyncio
import socket
from pathlib import Path

from alcor.agent.driver import Connected, Switch, VifsChanged
from alcor.agent.ovs.switch import OvsSwitch
from alcor.runtime.agent_config import Agent as AgentSettings

_SWITCH_S = 10.0


def is_running(status_socket: Path) -> bool:
    """Whether an agent answers there."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(status_socket))
        except OSError:
            return False
    return True


async def clear_switch(settings: AgentSettings) -> str:
    """Remove what is the agent's from its bridge, unless VMs are plugged; says which. Raises: OSError."""
    switch = OvsSwitch(
        settings.ovsdb,
        settings.run_folder,
        bridge=settings.bridge,
        datapath_type=settings.datapath_type or None,
    )
    try:
        async with asyncio.timeout(_SWITCH_S):
            return await clear(switch)
    except TimeoutError as error:
        raise OSError(f"Open vSwitch at {settings.ovsdb} did not answer within {_SWITCH_S:g} s") from error
    finally:
        await switch.close()


async def clear(switch: Switch) -> str:
    """As `clear_switch`, once it is reached."""
    connected = False
    async for event in switch.events():
        connected = connected or isinstance(event, Connected)
        if isinstance(event, VifsChanged) and event.ofports:
            plugged = ", ".join(sorted(event.ofports)[:5])
            return (
                f"the switch stays as it is: {len(event.ofports)} VMs' ports are plugged still ({plugged}); unplug "
                "them and delete the bridge"
            )
        if connected and isinstance(event, VifsChanged):
            break
    diff = await switch.compare({}, ())
    await switch.apply(diff)
    return f"{len(diff.remove)} flows were removed from the switch; its bridge stays, and forwards nothing"
