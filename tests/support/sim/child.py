"""The processes that seeds run in.

A run depends on nothing but its seed: neither on the hash of text, which Python draws anew for each process, nor on
addresses of memory, which Linux does.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.sim.run import Outcome

ROOT = Path(__file__).parents[3]
WITHIN_S = 900.0
"""Only ends what would never end."""


def run_child(*arguments: object) -> list[Outcome]:
    """What `tests.dst.worker` says. Raises: AssertionError with its error if it failed."""
    setarch = shutil.which("setarch")
    command = [*([setarch, "-R"] if setarch else []), sys.executable, "-m", "tests.dst.worker"]
    environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join((*sys.path, str(ROOT)))}
    done = subprocess.run(
        [*command, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [Outcome(**json.loads(line)) for line in done.stdout.splitlines()]
