"""An event loop without time and without chance: the next timer is always due at once, and a seed chooses who runs.

Components are what can crash: everything that runs in the context of one stops for ever when it is killed, in the
middle of whatever it does; no `finally` of it runs (its coroutines are kept until the process ends). Of the steps of
tasks that are ready a seeded one runs next; callbacks that are no steps keep their order: asyncio itself relies on it.
"""

import asyncio
import gc
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

TRACE_LINES = 60
"""How many of the last steps a failure shows."""
_EXECUTOR_S_MAX = 0.01


@dataclass(eq=False, repr=False, slots=True)
class Component:
    """One life of something that can crash. `steps`: how often one of its tasks was resumed; it is killed at step
    `crash_at`. `tasks`: those that were begun in it and have not ended.
    """

    name: str
    is_dead: bool = False
    steps: int = 0
    crash_at: int = 0
    stalled_until: float = 0.0
    crashed: Callable[[], None] = lambda: None
    tasks: dict["_Task", None] = field(default_factory=dict)


_CURRENT: ContextVar[Component | None] = ContextVar("component", default=None)


class _Task(asyncio.Task[Any]):
    """A task whose place in sets does not depend on its address."""

    _made = 0

    def __init__(self, *args: Any, **more: Any) -> None:
        _Task._made += 1
        self._number = _Task._made
        super().__init__(*args, **more)
        self._log_destroy_pending = False

    def __hash__(self) -> int:
        return self._number


class _Future(asyncio.Future[Any]):
    """As `_Task`."""

    def __init__(self, number: int, loop: asyncio.AbstractEventLoop) -> None:
        self._number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class Stuck(Exception):
    """Nothing is ready, and no timer is set: it would wait for ever."""


class SimLoop(asyncio.BaseEventLoop):
    """The loop. `seed` decides every choice; `digest` sums up every step that was made."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _timer_cancelled_count: int

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = Random(seed)
        self.steps = 0
        self.last: deque[str] = deque(maxlen=TRACE_LINES)
        self.after_step: Callable[[], None] | None = None
        self.unhandled: list[str] = []
        self._now = 1_000.0
        self._sum = blake2b(digest_size=16)
        # What belongs to the dead: referred to for ever, so that no `finally` runs and no destructor is called.
        self._graveyard: list[Any] = _GRAVEYARD
        self._futures = _Task._made = 0
        self.set_task_factory(self._make_task)
        self.set_exception_handler(self._note_unhandled)

    def __hash__(self) -> int:
        return 1

    def create_future(self) -> asyncio.Future[Any]:
        """A future whose place in sets is its number."""
        self._futures += 1
        return _Future(self._futures, self)

    # --- time and chance -------------------------------------------------------------------------------

    def time(self) -> float:
        """Seconds; moves only from timer to timer."""
        return self._now

    @property
    def digest(self) -> str:
        """Of all steps so far: when, whose, what."""
        return self._sum.hexdigest()

    def note(self, line: str) -> None:
        """Add a line to the trace."""
        text = f"{self._now:.6f} {line}"
        self.last.append(text)
        self._sum.update(text.encode())

    def _run_once(self) -> None:
        scheduled, ready = self._scheduled, self._ready
        while scheduled and scheduled[0]._cancelled:
            self._timer_cancelled_count -= 1
            heapq.heappop(scheduled)._scheduled = False  # type: ignore[attr-defined]  # a field of asyncio
        if not ready:
            if not scheduled:
                raise Stuck(self.tail())
            self._now = max(self._now, scheduled[0].when())
        while scheduled and scheduled[0].when() <= self._now:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False  # type: ignore[attr-defined]  # as above
            if timer._cancelled:
                self._timer_cancelled_count -= 1
            else:
                ready.append(timer)
        if ready:
            self._run_handle(self._choose())

    def _choose(self) -> asyncio.Handle:
        ready = self._ready
        if len(ready) == 1:
            return ready.popleft()
        place = self.random.randrange(len(ready))
        handle = ready[place]
        if _task_of(handle) is None:
            place, handle = next((n, one) for n, one in enumerate(ready) if _task_of(one) is None)
        del ready[place]
        return handle

    def _run_handle(self, handle: asyncio.Handle) -> None:
        if handle._cancelled:
            return
        component: Component | None = handle._context.get(_CURRENT)  # type: ignore[attr-defined]  # as above
        task = _task_of(handle)
        if component is not None:
            if component.is_dead:
                self._graveyard.append(handle)
                return
            if component.stalled_until > self._now:
                self.call_at(component.stalled_until, self._ready.append, handle, context=Context())
                return
            if task is not None:
                component.steps += 1
                if component.steps == component.crash_at:
                    self._graveyard.append(handle)
                    self.kill(component)
                    component.crashed()
                    return
        self.steps += 1
        self.note(f"{'' if component is None else component.name} {_name_of(handle, task)}")
        handle._run()
        if self.after_step is not None:
            self.after_step()

    # --- components ------------------------------------------------------------------------------------

    def spawn(self, component: Component | None, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin a task of a component."""
        context = copy_context()
        context.run(_CURRENT.set, component)
        return self.create_task(work, context=context)

    def call_as(self, component: Component | None, function: Callable[..., T], *args: Any) -> T:
        """Call a function as if a component did it."""
        context = copy_context()
        context.run(_CURRENT.set, component)
        return context.run(function, *args)

    def kill(self, component: Component) -> None:
        """End everything of a component where it stands."""
        self.note(f"CRASH {component.name} at step {component.steps}")
        component.is_dead = True
        self._graveyard.append(dict(component.tasks))

    def _make_task(self, loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
        task = _Task(work, loop=loop, **more)
        context: Context | None = more.get("context")
        component = _CURRENT.get() if context is None else context.get(_CURRENT)
        if component is not None:
            component.tasks[task] = None
            task.add_done_callback(lambda done: component.tasks.pop(task, None), context=Context())
        return task

    def _note_unhandled(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.unhandled.append(f"{context.get('message')}: {error!r}")

    def tail(self) -> str:
        """The last steps, for people."""
        return "\n".join(self.last)

    # --- no threads, no input ---------------------------------------------------------------------------

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """There is one thread."""
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Called here, at once in one step, after a moment."""
        future: asyncio.Future[T] = self.create_future()

        def run() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:
                future.set_exception(error)

        self.call_later(self.random.random() * _EXECUTOR_S_MAX, run)
        return future

    def _write_to_self(self) -> None:
        """Nobody waits for input."""


_GRAVEYARD: list[Any] = []


def _task_of(handle: asyncio.Handle) -> _Task | None:
    owner = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]  # a field of asyncio
    return owner if isinstance(owner, _Task) else None


def _name_of(handle: asyncio.Handle, task: _Task | None) -> str:
    if task is not None:
        return getattr(task.get_coro(), "__qualname__", "task")
    return getattr(handle._callback, "__qualname__", "callback")  # type: ignore[attr-defined]  # as above


@contextmanager
def simulated(seed: int) -> Iterator[SimLoop]:
    """A loop that is the thread's while the block runs. The collector rests: when it runs is chance."""
    loop = SimLoop(seed)
    before = events._get_running_loop()
    assert before is None, "a simulation runs outside of every other loop"
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        yield loop
    finally:
        _GRAVEYARD.append(loop)
        if was_collecting:
            gc.enable()


def run(loop: SimLoop, work: Coroutine[Any, Any, T]) -> T:
    """Run one task to its end; everything else runs beside it."""
    task = loop.spawn(None, work)

    def end(_: asyncio.Task[T]) -> None:
        loop.stop()

    task.add_done_callback(end)
    loop.run_forever()
    return task.result()
