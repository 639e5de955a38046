"""`/epoch`: which history this is, what hosts hold back because of it, and how that ends (protocol, section 2).

- `GET /epoch`: the epoch, the hosts that hold deletions back, and the ports that live on them and are not known.
- `POST /epoch`: begin a new one, because a backup was restored; hosts are told everything anew.
- `POST /epoch/release`: what is known is right; hosts let go of all else.
- `POST /epoch/recover`: import living ports again, as their hosts know them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from alcor.managers.epoch.recover import Recovered, find_known, recover_all
from alcor.managers.interface import Ask, Caller, Route, Service
from alcor.model.address import Mac
from alcor.model.change import Origin
from alcor.model.epoch_release import CALM_ID, HELD, RELEASE_ID, EpochRelease
from alcor.model.errors import AlcorError, InvalidInput, Unavailable
from alcor.model.host import Host
from alcor.model.ids import is_uuid
from alcor.store.interface import Store, Transaction

_UNHEARD = (
    "its agent is not heard, and ports may live there that are not known; it is waited for until the epoch is "
    "`dataplane.epoch_wait_s` old"
)
_UNSETTLED = "it has not taken in yet all that the region says"
# How many agents are asked at one time; each has a few seconds.
_ASKED_AT_ONCE = 32
_PORTS_MAX = 10_000


class Hosts(Protocol):
    """Who can ask the agents of hosts."""

    async def ask(self, host_id: str, question: Mapping[str, Any]) -> dict[str, Any]:
        """An agent's answer. Raises: Unavailable."""


class Orphan(msgspec.Struct, frozen=True, kw_only=True):
    """A port that lives on a host and that the region does not know, as the host's agent remembers it."""

    port_id: str
    host: str
    network_id: str = ""
    name: str = ""
    mac_address: str = ""
    ip_addresses: tuple[str, ...] = ()
    project_id: str = ""
    device_id: str = ""
    security_groups: tuple[str, ...] | None = None
    port_security_enabled: bool = True
    admin_state_up: bool = True


def service(hosts: Hosts | None, reserved: frozenset[Mac]) -> Service:
    """The four routes. `hosts`: None where agents cannot be asked; `reserved`: MAC addresses no port may have."""

    async def show(store: Store, ask: Ask) -> dict[str, Any]:
        return {"epoch": await _shown(store, hosts)}

    async def begin(store: Store, ask: Ask) -> dict[str, Any]:
        position = await store.new_epoch()
        return {"epoch": {"epoch": position.epoch, "revision": position.revision}}

    async def release(store: Store, ask: Ask) -> dict[str, Any]:
        epoch = (await store.head()).epoch
        done = await store.write(lambda tx: _release(tx, epoch), _origin(ask.caller))
        return {"release": {"epoch": epoch, "number": done.value.number}}

    async def import_again(store: Store, ask: Ask) -> dict[str, Any]:
        wanted = _wanted(ask.body)
        _, orphans, silent = await _ask_all(store, hosts)
        chosen = [orphan for orphan in orphans if wanted is None or orphan.port_id in wanted]
        found = await recover_all(store, ask.caller, _origin(ask.caller), chosen, reserved)
        told = {one.port_id for one in chosen}
        missing = [id for id in wanted or () if id not in told]
        known = await find_known(store, missing)
        found += [
            Recovered(id, "known") if id in known else Recovered(id, "unknown", _missing(silent))
            for id in missing
        ]
        return {"ports": [msgspec.to_builtins(one) for one in found], "silent": silent}

    return Service(
        "epoch",
        (
            _route("GET", "/epoch", show, "The region's epoch, and what hosts hold back because of it"),
            _route("POST", "/epoch", begin, "Begin a new epoch: the database was restored", 201),
            _route("POST", "/epoch/release", release, "Let hosts delete what the region does not know"),
            _route("POST", "/epoch/recover", import_again, "Import living ports that the region lost"),
        ),
    )


def _route(method: str, path: str, answer: Any, text: str, status: int = 200) -> Route:
    rule = "get_epoch" if method == "GET" else "manage_epoch"
    return Route(
        method,
        path,
        answer,
        rule,
        "rule:admin_only",
        text,
        status=status,
        schema={"type": "object"},
        body_schema={} if method == "GET" else _RECOVER if path.endswith("recover") else _NOTHING,
    )


async def _shown(store: Store, hosts: Hosts | None) -> dict[str, Any]:
    head = await store.head()
    row = await store.reader.find(EpochRelease, RELEASE_ID)
    holding, orphans, silent = await _ask_all(store, hosts)
    return {
        "epoch": head.epoch,
        "revision": head.revision,
        "released": row is not None and row.epoch >= head.epoch,
        "holding": holding,
        "silent": silent,
        "orphans": [msgspec.to_builtins(orphan) for orphan in orphans],
    }


async def _ask_all(
    store: Store, hosts: Hosts | None
) -> tuple[list[dict[str, str]], list[Orphan], list[dict[str, str]]]:
    """Who holds something and why, the orphans of those that answered, and, with the reason, those of whom nothing is
    known: they did not answer, or are waited for in a new epoch."""
    epoch = (await store.head()).epoch
    releases = [await store.reader.find(EpochRelease, id) for id in (RELEASE_ID, CALM_ID)]
    is_right = any(row is not None and row.epoch >= epoch for row in releases)
    rows = {row.id: row for row in await store.reader.list(Host)}
    seen = await store.observations.hosts(list(rows))
    asked = [id for id, one in seen.items() if one.alive and HELD in one.detail]
    # In a region's first epoch hosts are settled in that or in none: nothing can be held but by a suspicious snapshot.
    is_new = bool(asked) or any(0 < one.settled < epoch for one in seen.values())
    if asked and hosts is None:
        raise Unavailable("this process of the region does not speak to hosts; ask one that does")
    gate = asyncio.Semaphore(_ASKED_AT_ONCE)

    async def one(id: str) -> dict[str, Any] | str:
        assert hosts is not None  # nobody is asked otherwise
        async with gate:
            try:
                return await hosts.ask(id, {"ask": "held"})
            except AlcorError as error:
                return error.message

    answers = await asyncio.gather(*(one(id) for id in asked))
    holding: list[dict[str, str]] = []
    silent = [
        {"host": rows[id].name, "reason": _UNSETTLED if one.alive else _UNHEARD}
        for id, one in seen.items()
        if is_new and not is_right and id not in asked and one.seen_at_ms and one.settled < epoch
    ]
    orphans: list[Orphan] = []
    for id, answer in zip(asked, answers, strict=True):
        name = rows[id].name
        if isinstance(answer, str):
            silent.append({"host": name, "reason": answer})
        elif answer["cause"]:
            holding.append({"host": name, "reason": f"{answer['cause']}; {_own(answer, epoch)}"})
            orphans += [msgspec.convert({**said, "host": name}, Orphan) for said in answer["orphans"]]
    return holding, sorted(orphans, key=lambda orphan: orphan.port_id), silent


def _own(answer: Mapping[str, Any], epoch: int) -> str:
    """What a host that holds something says of its own ports."""
    if answer["orphans"]:
        return f"ports that it does not know live here: {len(answer['orphans'])}"
    if answer["settled"] < epoch:
        return _UNSETTLED
    return "all ports here are known, others are waited for"


async def _release(tx: Transaction, epoch: int) -> EpochRelease:
    row = await tx.find(EpochRelease, RELEASE_ID)
    if row is None:
        row = EpochRelease(id=RELEASE_ID, epoch=epoch, number=1)
        tx.insert(row)
    else:
        row = msgspec.structs.replace(row, epoch=max(epoch, row.epoch), number=row.number + 1)
        tx.update(row)
    return row


def _origin(caller: Caller) -> Origin:
    return Origin(caller.request_id, caller.user_id, caller.project_id)


def _wanted(body: Any) -> Sequence[str] | None:
    """The ids of the ports to import; None: all. Raises: InvalidInput."""
    if not isinstance(body, dict) or set(body) != {"ports"}:
        raise InvalidInput('The body is to be {"ports": [ids]}, or {"ports": "all"}.')
    ports = body["ports"]
    if ports == "all":
        return None
    if not isinstance(ports, list) or not all(isinstance(id, str) and is_uuid(id) for id in ports):
        raise InvalidInput('it is a list of port IDs, or "all"', attribute="ports")
    if len(ports) > _PORTS_MAX:
        raise InvalidInput(f"it has {len(ports)} IDs, more than {_PORTS_MAX}", attribute="ports")
    return list(dict.fromkeys(ports))


def _missing(silent: Sequence[Mapping[str, str]]) -> str:
    if not silent:
        return "no host holds a living port of this ID back; see GET /epoch"
    names = ", ".join(one["host"] for one in silent)
    return f"no host that answered holds it; these did not answer: {names}"


_NOTHING: Mapping[str, Any] = {"type": "object", "additionalProperties": False}
_RECOVER: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "ports": {
            "anyOf": [
                {"type": "array", "items": {"type": "string", "format": "uuid"}, "maxItems": _PORTS_MAX},
                {"type": "string", "enum": ["all"]},
            ]
        }
    },
    "required": ["ports"],
    "additionalProperties": False,
}
