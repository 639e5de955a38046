"""`alcor host import`: a region's hosts as an inventory file says, as often as one likes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import orjson

from alcor.cli.client import unreached
from alcor.identity.key import write_file
from alcor.managers.interface import Upload
from alcor.managers.node.upload import Row, read_rows
from alcor.model.errors import InvalidInput
from alcor.model.host import HOST
from alcor.model.resource import Who

AT_ONCE = 500
_KINDS = {".csv": "text/csv", ".yaml": "application/yaml", ".yml": "application/yaml"}
_ATTRIBUTES = {a.name: a for a in HOST.attributes if a.create is not Who.NOBODY}


@dataclass(slots=True)
class Plan:
    """What is to be done: hosts to add, changes by host id, names of those that are as the file says, what is wrong.

    `names`: of the hosts to change, by id.
    """

    added: list[dict[str, Any]] = field(default_factory=list)
    changed: dict[str, dict[str, Any]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    same: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def read_file(path: Path) -> list[Row]:
    """The hosts of a file (JSON, YAML, CSV by its ending). Raises: InvalidInput, OSError."""
    content = path.read_bytes()
    kind = _KINDS.get(path.suffix.lower())
    if kind is not None:
        return read_rows(Upload(kind, content))
    try:
        return read_rows(orjson.loads(content))
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"it is not JSON ({error}); other endings are .yaml and .csv") from error


def read_tokens(path: Path) -> dict[str, str]:
    """Host name → token, as an earlier import wrote it; empty if there is no file. Raises: InvalidInput, OSError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return {}
    except msgspec.DecodeError as error:
        raise InvalidInput(f"it holds no tokens of hosts ({error}); name another file by --tokens") from error


def write_tokens(path: Path, tokens: Mapping[str, str]) -> None:
    """Readable by its owner only. Raises: OSError."""
    write_file(path, orjson.dumps(tokens, option=orjson.OPT_INDENT_2), 0o600)


def plan(rows: Sequence[Row], present: Iterable[Mapping[str, Any]]) -> Plan:
    """Compare a file with what there is. Only what the file says of a host is compared; nothing is removed."""
    known = {str(one["name"]): one for one in present}
    made = Plan()
    vteps = {vtep: name for name, one in known.items() for vtep in one["vtep_addresses"]}
    places: dict[str, str] = {}
    mine: dict[str, str] = {}
    for row in rows:
        # Of a wrong row, what of it could be read.
        known_here = {name: a.field for name, a in _ATTRIBUTES.items() if name in row.said}
        said = {name: _plain(row.values[key]) for name, key in known_here.items() if key in row.values}
        name = str(said.get("name", ""))
        reasons = [row.error] if row.error else []
        if name and name in places:
            reasons.append(f"host '{name}' is in {places[name]} already")
        places.setdefault(name, row.place)
        for vtep in said.get("vtep_addresses", ()):
            owner = mine.setdefault(vtep, name)
            if owner == name:
                owner = vteps.get(vtep, name)
            if owner != name:
                reasons.append(f"tunnel address {vtep} belongs to host '{owner}'")
        if reasons:
            made.errors.append(f"{row.place}: {'; '.join(reasons)}")
        elif name not in known:
            made.added.append(said)
        else:
            _compare(made, known[name], said)
    return made


def _compare(made: Plan, present: Mapping[str, Any], said: Mapping[str, Any]) -> None:
    changes = {name: value for name, value in said.items() if name != "name" and present.get(name) != value}
    if changes:
        made.changed[str(present["id"])] = changes
        made.names[str(present["id"])] = str(present["name"])
    else:
        made.same.append(str(present["name"]))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def apply(
    client: httpx.Client,
    made: Plan,
    tell: Callable[[int, int], None],
    keep: Callable[[Mapping[str, str]], None],
) -> list[str]:
    """Carry a plan out, in parts; what failed does not keep the rest back, unless the region is gone.

    tell: called with (done, of how many) after each part; keep: with name → token of the hosts that it added, which the
    region says this once. Returns: what failed.
    """
    failed: list[str] = []
    try:
        _apply(client, made, tell, keep, failed)
    except httpx.TransportError as error:
        failed.append(f"the region {unreached(error)}; the rest was not tried")
    return failed


def _apply(
    client: httpx.Client,
    made: Plan,
    tell: Callable[[int, int], None],
    keep: Callable[[Mapping[str, str]], None],
    failed: list[str],
) -> None:
    total, done = len(made.added) + len(made.changed), 0
    for start in range(0, len(made.added), AT_ONCE):
        part = made.added[start : start + AT_ONCE]
        answer = client.post("/hosts", json={"hosts": part})
        if answer.is_success:
            keep({one["name"]: one["token"] for one in answer.json()["hosts"]})
        else:
            failed.append(f"{part[0]['name']} … {part[-1]['name']}: {_reason(answer)}")
        done += len(part)
        tell(done, total)
    for id, changes in made.changed.items():
        answer = client.put(f"/hosts/{id}", json={"host": changes})
        if not answer.is_success:
            failed.append(f"{made.names[id]}: {_reason(answer)}")
        done += 1
        if done % AT_ONCE == 0 or done == total:
            tell(done, total)


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["NeutronError"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"
