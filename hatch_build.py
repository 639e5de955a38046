"""Build hook: makes the protobuf stubs from the schema; they are never committed."""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path(__file__).parent / "src" / "alcor" / "bus"


def generate() -> list[str]:
    """Run protoc on `wire.proto`; returns the files made, relative to the repository."""
    from grpc_tools import protoc

    source = FOLDER.parent.parent
    arguments = ["protoc", f"-I{source}", f"--python_out={source}", f"--pyi_out={source}"]
    if protoc.main([*arguments, str(FOLDER / "wire.proto")]) != 0:
        sys.exit("protoc failed on src/alcor/bus/wire.proto; its message is above.")
    return [f"src/alcor/bus/wire_pb2{suffix}" for suffix in (".py", ".pyi")]


class StubsHook(BuildHookInterface):  # type: ignore[type-arg]  # hatchling's plugin class is untyped
    """Generates the stubs for a wheel and for an editable installation alike."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before the build."""
        build_data["artifacts"].extend(generate())
