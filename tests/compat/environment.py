"""Outside programs the compatibility tests run against: Keystone, Tempest, openstacksdk's own tests.

Each has a virtual environment of its own, made from hashed pins (`tests/compat/pins`), in a folder that
survives the checkout: `$ALCOR_COMPAT_CACHE`, by default `~/.cache/alcor/compat`. A folder's name carries the
digest of its pins, so that a change of the pins installs anew and an unchanged one costs nothing. Installing is
a step of its own: a test that finds nothing installed fails and says so; it never fetches.

    python -m tests.compat.environment install
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args

Part = Literal["keystone", "tempest", "sdk"]
PARTS: tuple[Part, ...] = get_args(Part)

PINS = Path(__file__).with_name("pins")
# Written last: an environment without it was interrupted and is made again.
COMPLETE = "alcor-complete"


class NotInstalled(Exception):
    """An outside program is not installed; the text names the command that does it."""


def cache_folder() -> Path:
    """Where the environments are."""
    return Path(os.environ.get("ALCOR_COMPAT_CACHE") or "~/.cache/alcor/compat").expanduser()


def pins_of(part: Part) -> Path:
    """The file that pins what a part consists of."""
    return PINS / f"{part}.txt"


def folder_of(part: Part) -> Path:
    """The environment of a part, whether it is there or not: one per set of pins and version of Python."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(version.encode() + pins_of(part).read_bytes()).hexdigest()
    return cache_folder() / f"{part}-{digest[:16]}"


def program(part: Part, name: str) -> Path:
    """A program of a part. Raises: NotInstalled."""
    folder = folder_of(part)
    if not (folder / COMPLETE).exists():
        raise NotInstalled(
            f"{part} is not in {folder}; run `python -m tests.compat.environment install` first"
        )
    return folder / "bin" / name


def install(part: Part) -> bool:
    """Make the environment of a part if it is not there. Returns whether anything was done.

    Raises: CalledProcessError if an installation fails; what was begun is thrown away the next time.
    """
    folder = folder_of(part)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Two checkouts may install at the same time: the second waits and finds the work done.
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / COMPLETE).exists():
            return False
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip: list[str | Path] = [
            folder / "bin" / "python",
            "-m",
            "pip",
            "--quiet",
            "--disable-pip-version-check",
        ]
        subprocess.run([*pip, "install", "--require-hashes", "--requirement", pins_of(part)], check=True)
        (folder / COMPLETE).touch()
    return True


def main(words: list[str]) -> int:
    """The command line: `install`, or `where` to print the folders."""
    match words:
        case ["install"]:
            for part in PARTS:
                done = "installed" if install(part) else "present"
                print(f"{part}: {done} in {folder_of(part)}", flush=True)
        case ["where"]:
            for part in PARTS:
                print(folder_of(part))
        case _:
            print("usage: python -m tests.compat.environment install|where", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
