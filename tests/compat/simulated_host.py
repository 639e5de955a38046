"""A host of the cloud: the real agent on a simulated switch, in a process of its own until SIGTERM.

python -m tests.compat.simulated_host <name> <host id> <file with the agent's token> <where agents attach>
"""

import asyncio
import random
import signal
import sys
import time
from pathlib import Path

from alcor import __version__
from alcor.agent.service import Agent
from alcor.agent.simulated import SimulatedSwitch
from alcor.bus.codec import ProtobufCodec
from alcor.bus.grpc_client import GrpcConnector
from alcor.telemetry.log import configure


async def run(name: str, host_id: str, token: str, ncm: str) -> None:
    """Run the agent until the process is asked to end."""
    agent = Agent(
        GrpcConnector(ncm),
        SimulatedSwitch(name),
        ProtobufCodec(),
        host_id=host_id,
        token=lambda: token,
        version=__version__,
        now_ms=lambda: time.time_ns() / 1e6,
        random=random.random,
    )
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    task = asyncio.create_task(agent.run())
    ending = asyncio.create_task(asked.wait())
    await asyncio.wait({task, ending}, return_when=asyncio.FIRST_COMPLETED)
    task.cancel()
    ending.cancel()
    await asyncio.gather(task, ending, return_exceptions=True)


if __name__ == "__main__":
    configure("info")
    NAME, HOST_ID, TOKEN_FILE, NCM = sys.argv[1:]
    asyncio.run(run(NAME, HOST_ID, Path(TOKEN_FILE).read_text(), NCM))
