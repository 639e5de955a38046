"""Hosts that join, renew their certificates and leave by themselves: no token, but a key of their own.

- `POST /hosts/join`: an invitation's secret signs the whole request; the host's key signs the certificate request.
- `POST /hosts/<id>/certificate`: for the key that the host joined with, and for no other; also past its expiry.
- `POST /hosts/<id>/leave`: signed by the host's key, good for five minutes.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from alcor.identity.invitation import is_signed
from alcor.identity.name import digest_of
from alcor.identity.proof import LEAVE, read_proof
from alcor.managers.interface import Ask, Caller, Route, Service, Values
from alcor.managers.node.authority import Certifier, read_request
from alcor.managers.node.invite import iso_of
from alcor.managers.node.manager import delete, register, update
from alcor.managers.row import replace_row
from alcor.model.change import Origin
from alcor.model.errors import Conflict, Forbidden, InvalidInput, Problem
from alcor.model.host import HOST, Host
from alcor.model.host_invite import HostInvite
from alcor.model.value import IP
from alcor.store.interface import Condition, Query, Store, Transaction

# What a host says of itself beside its name; the rest is the invitation's.
_SAID = ("vtep_addresses", "control_address", "mac_address", "bridge_mappings", "description")
# Where its tunnels end if neither it nor the region says so: the address from which it reaches the region.
_FOUND = "reached_from"
_OPTIONAL = (*_SAID, _FOUND)
_TEXT = {"type": "string"}
_UNKNOWN = (
    "the invitation is not known: it was withdrawn, or not all of it was copied. Ask for another "
    "(`alcor host invite`)."
)
_OTHER_KEY = (
    "the region does not know this key for host {id}: the host was removed, its identity was revoked, or it joined "
    "again with another key. Join it again by an invitation (`alcor host invite --host NAME`)."
)
_ISSUED = {"certificate": _TEXT, "trusted": _TEXT, "seal": _TEXT}


def join_service(certifier: Certifier) -> Service:
    """The paths that hosts ask by themselves; policy has no say, the keys have."""
    joins = _Joins(certifier)
    own = {name: HOST.attribute(name) for name in ("name", *_SAID)}
    said = {name: found.type.schema() for name, found in own.items() if found is not None}
    said[_FOUND] = IP.schema()
    return Service(
        "node",
        (
            Route(
                "POST",
                "/hosts/join",
                joins.join,
                "join_host",
                "@",
                "Become a host of the region, by an invitation",
                status=200,
                schema=_object(
                    {
                        "host": _object(
                            {
                                "id": _TEXT,
                                "name": _TEXT,
                                "cluster": _TEXT,
                                "vtep_addresses": said["vtep_addresses"],
                            }
                        ),
                        **_ISSUED,
                        "agents": {"type": "array", "items": _TEXT},
                        "tls": {"type": "boolean"},
                    }
                ),
                body_schema=_object(
                    {"invite": _TEXT, "request": _TEXT, **said, "signature": _TEXT}, optional=_OPTIONAL
                ),
                is_open=True,
            ),
            Route(
                "POST",
                "/hosts/{host_id}/certificate",
                joins.renew,
                "renew_host",
                "@",
                "A certificate for the key a host joined with",
                schema=_object(_ISSUED),
                body_schema=_object({"request": _TEXT}),
                is_open=True,
            ),
            Route(
                "POST",
                "/hosts/{host_id}/leave",
                joins.leave,
                "leave_host",
                "@",
                "A host leaves the region by itself",
                status=204,
                body_schema=_object({"proof": _TEXT}),
                is_open=True,
            ),
        ),
    )


def _object(properties: Mapping[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "properties": dict(properties),
        "required": required,
        "additionalProperties": False,
    }


class _Joins:
    def __init__(self, certifier: Certifier) -> None:
        self._certifier = certifier

    async def join(self, store: Store, ask: Ask) -> dict[str, Any]:
        """Raises: Forbidden, Conflict, InvalidInput, Unavailable; as `manager.register`."""
        self._certifier.count()
        self._certifier.authority()
        body = _members(ask.body, "invite", "request", "name", "signature", optional=_OPTIONAL)
        request = read_request(body["request"])
        values = _values(body)
        key_digest = digest_of(request)
        heard = await self._is_heard(store, str(values["name"]))

        async def work(tx: Transaction) -> Host:
            invite = await tx.find(HostInvite, body["invite"])
            said = {name: value for name, value in body.items() if name != "signature"}
            if invite is None or not is_signed(invite.public_key, said, body["signature"]):
                raise Forbidden(_UNKNOWN)
            return await _admit(tx, ask.caller, invite, values, key_digest, heard=heard)

        row = (await store.write(work, _origin(ask, f"invite {body['invite']}"))).value
        welcome = self._certifier.welcome
        return {
            "host": {
                "id": row.id,
                "name": row.name,
                "cluster": row.cluster,
                "vtep_addresses": list(row.vtep_addresses),
            },
            **self._certifier.issue(row, request),
            "agents": list(welcome.agents),
            "tls": welcome.is_secured,
        }

    async def _is_heard(self, store: Store, name: str) -> bool:
        """Whether the agent of a host of this name was ever heard."""
        rows = await store.reader.list(Host, Query(where=(Condition("name", (name,)),)))
        seen = await store.observations.hosts([row.id for row in rows])
        return any(one.alive or one.seen_at_ms for one in seen.values())

    async def renew(self, store: Store, ask: Ask) -> dict[str, Any]:
        """Raises: Forbidden, InvalidInput, Unavailable."""
        self._certifier.count()
        request = read_request(_members(ask.body, "request")["request"])
        row = await store.reader.find(Host, ask.names["host_id"])
        if row is None or not row.key_digest or row.key_digest != digest_of(request):
            raise Forbidden(_OTHER_KEY.format(id=ask.names["host_id"]))
        return self._certifier.issue(row, request)

    async def leave(self, store: Store, ask: Ask) -> None:
        """Raises: Forbidden; InUse naming the ports that are bound to it."""
        self._certifier.count()
        proof, host_id = _members(ask.body, "proof")["proof"], ask.names["host_id"]

        async def work(tx: Transaction) -> None:
            row = await tx.find(Host, host_id)
            try:
                shown = read_proof(proof, host_id, now_ms=tx.now_ms, deed=LEAVE)
            except ValueError as error:
                raise Forbidden(f"host {host_id} does not leave by this proof: {error}.") from error
            if row is None or not row.key_digest or row.key_digest != shown:
                raise Forbidden(_OTHER_KEY.format(id=host_id))
            await delete(tx, ask.caller, row)

        await store.write(work, _origin(ask, f"host {host_id}"))


async def _admit(
    tx: Transaction, caller: Caller, invite: HostInvite, values: Values, key_digest: str, *, heard: bool
) -> Host:
    """The host that has the key: known already, known by name, or new.

    Raises: Conflict (NAME_TAKEN, used up), Forbidden (expired, or of another host); as `manager.register`.
    """
    name, found = values["name"], values.get(_FOUND)
    said = {key: value for key, value in values.items() if key not in ("name", _FOUND)}
    rows = await tx.list(Host, Query(where=(Condition("name", (name,)),)))
    row = rows[0] if rows else None
    if row is not None and row.key_digest == key_digest:
        # Asked again: the answer may have been lost. It costs no use, and needs no time that is left.
        return await update(tx, caller, row, said)
    _check(invite, name, tx.now_ms)
    tx.update(_used(invite))
    if row is None:
        new = {"name": name, "vtep_addresses": (found,) if found else ()} | said
        new |= {
            "cluster": invite.cluster,
            "availability_zone": invite.availability_zone,
            "gateway": invite.gateway,
        }
        return await register(tx, new, key_digest=key_digest)
    if invite.host_name != name and (row.key_digest or heard):
        raise Conflict(
            f"Host name '{name}' is taken by a machine with another key. If this machine takes its place, invite it by "
            f"name: `alcor host invite --host {name}`; else choose another name.",
            kind="host",
            problem=Problem.NAME_TAKEN,
        )
    # Of an inventory, or in place of another machine: what it does not say of itself stays as the region has it.
    changed = await update(tx, caller, row, said)
    return await replace_row(tx, changed, {"key_digest": key_digest, "token_digest": ""})


def _check(invite: HostInvite, name: str, now_ms: int) -> None:
    if invite.host_name is not None and invite.host_name != name:
        raise Forbidden(f"this invitation is for host '{invite.host_name}', not for '{name}'.")
    if now_ms >= invite.expires_ms:
        raise Forbidden(
            f"this invitation expired at {iso_of(invite.expires_ms)}. Ask for another (`alcor host invite`)."
        )
    if invite.uses >= invite.uses_max:
        raise Conflict(
            f"This invitation is used up: {invite.uses} of {invite.uses_max} hosts have joined by it. Ask for another "
            "(`alcor host invite`).",
            kind="host_invite",
        )


def _used(invite: HostInvite) -> HostInvite:
    return structs.replace(invite, uses=invite.uses + 1)


def _members(body: Any, *names: str, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """An object with exactly these members; all but lists and objects are text. Raises: InvalidInput."""
    if not isinstance(body, dict):
        raise InvalidInput("the body must be an object.")
    missing = [name for name in names if name not in body]
    unknown = sorted(set(body) - {*names, *optional})
    if missing or unknown:
        said = [f"'{name}' is missing" for name in missing] + [f"'{name}' is unknown" for name in unknown]
        raise InvalidInput(f"the body cannot be read: {', '.join(said)}.")
    for name in ("invite", "request", "signature", "proof"):
        if name in body and not isinstance(body[name], str):
            raise InvalidInput(f"'{name}' must be a text.", attribute=name)
    return body


def _values(body: Mapping[str, Any]) -> Values:
    """What a host says of itself, by the rules of its attributes. Raises: InvalidInput."""
    found: Values = {}
    for name in ("name", *_OPTIONAL):
        attribute = HOST.attribute(name)
        field, kind = (attribute.field, attribute.type) if attribute is not None else (name, IP)
        if name in body:
            try:
                found[field] = kind.parse(body[name])
            except ValueError as error:
                raise InvalidInput(str(error), attribute=name) from error
    return found


def _origin(ask: Ask, who: str) -> Origin:
    return Origin(ask.caller.request_id, who, ask.caller.project_id)
