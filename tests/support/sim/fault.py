"""What goes wrong, at random: crashes at any resumption, long absences, stalls, broken and cut connections, a database
that refuses or is out of reach, holders that stand still past their leases, a database that is restored."""

import asyncio
from random import Random

from alcor.dataplane.share import TTL_S
from tests.support.sim.loop import Component
from tests.support.sim.store import copy_files, restore_files
from tests.support.sim.world import AgentNode, Node, World

STEPS_MAX = 400
"""A crash strikes at one of a component's next so many resumptions."""
ABSENT_S = (0.05, 5.0)
LONG_S = (20.0, 90.0)


class Faults:
    """Makes trouble until `heal`. `restores`: whether the database may be put back to an earlier state, once."""

    def __init__(self, world: World, random: Random, *, restores: bool = False) -> None:
        self.world, self.random = world, random
        self.count = 0
        self._restores = restores
        self._has_backup = False
        self._is_over = False
        for node in world.nodes:
            self._watch(node)

    def _watch(self, node: Node) -> None:
        """Have what crashed come back."""

        def come_back(_: Component) -> None:
            if not self._is_over:
                bounds = LONG_S if self.random.random() < 0.1 else ABSENT_S
                self.world.later(self.random.uniform(*bounds), node.start)

        node.deaths.append(come_back)

    async def work(self, pause_s: float) -> None:
        """Trouble, again and again."""
        faults = [
            (10, self.crash_later),
            (3, self.crash_now),
            (4, self.break_streams),
            (3, self.cut_off),
            (4, self.stall),
            (4, self.restart_switch),
            (2, self.slow_switch),
            (2, self.refuse_writes),
            (1, self.stall_database),
            (3, self.stand_still),
            (3, self.cut_database),
            (3, self.part),
            (3 if self.world.shape.has_broker else 0, self.break_broker),
            (2, self.move_cluster),
        ]
        while not self._is_over:
            await asyncio.sleep(pause_s * 2 * self.random.random())
            if self._is_over:
                return
            (chosen,) = self.random.choices([one for _, one in faults], [weight for weight, _ in faults])
            self.count += 1
            self.world.loop.note(f"FAULT {chosen.__name__}")
            chosen()

    def crash_later(self) -> None:
        self.random.choice(self.world.nodes).crash_within(self.random.randint(1, STEPS_MAX))

    def crash_now(self) -> None:
        self.random.choice(self.world.nodes).crash()

    def break_streams(self) -> None:
        self.world.net.break_some(self.random.random())

    def cut_off(self) -> None:
        """Nobody gets to an address for a while, and who is there loses the connection, at once or late."""
        net = self.world.net
        if not net.listeners:
            return
        address = self.random.choice(sorted(net.listeners))
        net.cut.add(address)
        server = net.listeners[address]
        for stream in [one for one in net.streams if one.server is server]:
            net.later(self.random.choice((0.0, 1.0, 12.0)), stream.break_, "nobody answered the pings")
        self.world.later(self.random.uniform(0.1, 20), net.cut.discard, address)

    def stall(self) -> None:
        """A process is not run for a while."""
        component = self.random.choice(self.world.nodes).component
        if component is not None:
            component.stalled_until = self.world.loop.time() + self.random.uniform(0.01, 8)

    def restart_switch(self) -> None:
        node = self.random.choice(self.world.agents)
        if node.switch.is_up:
            node.switch.stop("it was killed")
            self.world.later(self.random.uniform(0.01, 5), self._start_switch, node)

    def _start_switch(self, node: AgentNode) -> None:
        if not node.switch.is_up:
            node.switch.start()

    def slow_switch(self) -> None:
        node = self.random.choice(self.world.agents)
        node.switch.slow_until_s = self.world.loop.time() + self.random.uniform(0.1, 3)

    def refuse_writes(self) -> None:
        self.world.store.refuse(self.random.randint(1, 3))

    def stall_database(self) -> None:
        self.world.store.stall(self.random.uniform(0.1, 3))

    def stand_still(self) -> None:
        """A dataplane is not run for longer than its leases last, and wakes when others hold them."""
        component = self.random.choice(self.world.dataplanes).component
        if component is not None:
            component.stalled_until = self.world.loop.time() + self.random.uniform(TTL_S - 1, TTL_S * 3)

    def cut_database(self) -> None:
        """One dataplane does not get to the database, whether it is told so or not."""
        line = self.random.choice(self.world.dataplanes).line
        line.cut(self.random.uniform(0.05, 12), silent=self.random.random() < 0.5)

    def break_broker(self) -> None:
        """The broker is away for a while."""
        self.world.broker.break_down(self.random.uniform(0.1, 12))

    def part(self) -> None:
        """Nothing passes between two processes that reach everybody else."""
        world = self.world
        pairs = [(ncm.name, f"{one.name}:1") for ncm in world.ncms for one in world.dataplanes]
        pairs += [(agent.name, f"{ncm.name}:1") for agent in world.agents for ncm in world.ncms]
        process, address = self.random.choice(pairs)
        world.net.part(process, address, self.random.uniform(0.1, 20))

    def move_cluster(self) -> None:
        """A host's agent is to go to any of the ncms from its next connection on."""
        node = self.random.choice(self.world.agents)
        self.world.net.moved[node.address] = f"{self.random.choice(self.world.ncms).name}:1"

    # --- the database ----------------------------------------------------------------------------------

    def back_up(self) -> None:
        """Copy the database as it is now."""
        copy_files(self.world.folder, self.world.folder / "backup")
        self.world.leases.back_up()
        self._has_backup = True

    async def restore(self) -> None:
        """Put the copy in the place of the database, as an operator does: dataplanes stopped, and in a new epoch."""
        world = self.world
        if not self._has_backup:
            return
        world.loop.note("RESTORE")
        for node in world.dataplanes:
            node.crash()
        await world.store.close()
        restore_files(world.folder / "backup", world.folder)
        world.reopen()
        world.leases.restore()
        await world.store.new_epoch()
        for node in world.dataplanes:
            node.start()

    def heal(self) -> None:
        """No more trouble; what is away comes back."""
        self._is_over = True
        world = self.world
        world.broker.heal()
        world.net.cut.clear()
        world.net.parted.clear()
        for dataplane in world.dataplanes:
            dataplane.line.heal()
        world.store.refuse(0)
        for agent in world.agents:
            self._start_switch(agent)
            agent.switch.slow_until_s = 0.0
        for node in world.nodes:
            if node.component is not None:
                node.component.crash_at = 0  # who stands still wakes in its time
            node.start()
