"""A process that writes ports into the store of a folder, printing each id once its write was acknowledged.

Run with the folder as its argument; it goes on until it is killed.
"""

import asyncio
import sys
from pathlib import Path

from alcor.store.interface import Transaction
from alcor.store.sqlite import SqliteStore
from tests.support.store import a_network, a_port, a_subnet, insert

_WRITERS = 8


async def write_for_ever(folder: Path) -> None:
    """Every write takes an address, inserts a port and touches its network."""
    store = SqliteStore.open(folder)
    await insert(store, a_network(), a_subnet())
    numbers = iter(range(1, 1 << 24))

    async def create(tx: Transaction) -> list[str]:
        made = []
        for _ in range(3):
            id, number = tx.new_id(), next(numbers)
            address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            assert await tx.claim("address:sub-1", address, id)
            tx.insert(a_port(id, "net-1", ("sub-1", address)))
            made.append(id)
        return made

    async def writer() -> None:
        while True:
            done = await store.write(create)
            print(done.revision, *done.value, flush=True)

    await asyncio.gather(*(writer() for _ in range(_WRITERS)))


if __name__ == "__main__":
    asyncio.run(write_for_ever(Path(sys.argv[1])))
