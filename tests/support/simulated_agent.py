"""`alcor-agent`, whose `run` has a simulated switch; everything else is the command itself."""

import asyncio
import os
import signal
import sys

from alcor.agent.simulated import SimulatedSwitch
from alcor.cli.agent import app
from alcor.runtime.agent import serve
from alcor.runtime.agent_config import AgentConfig
from alcor.runtime.settings import load
from alcor.telemetry.log import configure


async def run() -> None:
    """Until SIGTERM."""
    settings = load(AgentConfig, file=None, environ=os.environ, flags={"metadata.enabled": False})
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serve(settings, stop=stop, switch=SimulatedSwitch("simulated"))


if __name__ == "__main__":
    if sys.argv[1:] == ["run"]:
        configure("info")
        asyncio.run(run())
    else:
        app()
