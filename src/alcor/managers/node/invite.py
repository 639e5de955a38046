"""`/host-invites`: who may join the region as a host."""

from collections.abc import Sequence
from datetime import UTC, datetime

from alcor.identity.invitation import Invitation, public_of
from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.node.authority import Certifier
from alcor.managers.row import new_row
from alcor.model.errors import InvalidInput
from alcor.model.host_invite import HOST_INVITE, HostInvite
from alcor.store.interface import Store, Transaction


def invite_manager(certifier: Certifier) -> Manager:
    """Invitations are made, listed and withdrawn; what one says is not changed."""

    async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
        """Raises: Conflict if this process cannot certify hosts; InvalidInput."""
        fingerprint = certifier.authority().fingerprint
        made = []
        for values in many:
            if values.get("host_name") and values.get("uses_max", 1) != 1:
                raise InvalidInput("an invitation of one host has one use.", attribute="uses_max")
            secret = tx.new_secret()
            row = new_row(
                tx,
                caller,
                HostInvite,
                values,
                public_key=public_of(secret),
                expires_ms=tx.now_ms + values["expires_s"] * 1000,
            )
            token = Invitation(row.id, secret, fingerprint).text
            made.append(Made(await tx.get(HostInvite, row.id), {"token": token}))
        return made

    return Manager(HOST_INVITE, "node", create=create, delete=_delete, computed={"expires_at": _load_expiry})


async def _delete(tx: Transaction, _caller: Caller, row: HostInvite) -> None:
    """Withdraw an invitation; the hosts that joined by it stay."""
    tx.delete(row)


async def _load_expiry(_store: Store, _caller: Caller, rows: Sequence[HostInvite]) -> dict[str, str]:
    return {row.id: iso_of(row.expires_ms) for row in rows}


def iso_of(unix_ms: int) -> str:
    """UTC, seconds, as the API writes times."""
    return datetime.fromtimestamp(unix_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
