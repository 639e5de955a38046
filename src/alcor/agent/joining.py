"""A host joins its region, renews its certificate and leaves: calls of the region's API that need no token.

Nothing secret travels, and what comes back is believed for its authority, which the invitation pins: these calls are as
safe over HTTP as over HTTPS, and no certificate of the API is asked for.
"""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from alcor.identity.authority import is_sealed, utc_now
from alcor.identity.folder import HOST_KEY, HostFolder
from alcor.identity.invitation import Invitation
from alcor.identity.key import PrivateKey, make_key, make_request, pem_of_key, write_file
from alcor.identity.name import fingerprint_of, peer_of
from alcor.identity.proof import LEAVE, make_proof

ANSWER_S = 20.0
_ANSWER_BYTES_MAX = 1 << 20
JOINED = "joined.json"
_WILDCARDS = ("0.0.0.0", "[::]", "*", "")


class JoinError(Exception):
    """It did not come about; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Joined:
    """What the agent must know beside its identity. `agents`: where the region serves agents; `tls`: over TLS;
    `vteps`: where its tunnels ended when it joined.
    """

    host_id: str
    name: str
    region: str
    agents: tuple[str, ...]
    tls: bool
    vteps: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: HostFolder) -> Self | None:
        """What joining wrote; None if the host has not joined. Raises: JoinError if it cannot be read."""
        path = folder.path / JOINED
        try:
            found = json.loads(path.read_bytes())
            return cls(**{**found, "agents": tuple(found["agents"]), "vteps": tuple(found.get("vteps", ()))})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise JoinError(f"{path} cannot be read: {error}. Join again, with the same key.") from error

    def write(self, folder: HostFolder) -> None:
        """Raises: OSError."""
        write_file(folder.path / JOINED, (json.dumps(asdict(self), indent=2) + "\n").encode(), 0o644)


def join(
    folder: HostFolder,
    invitation: Invitation,
    region: str,
    said: Mapping[str, Any],
    *,
    agents: Sequence[str] = (),
    now: datetime | None = None,
) -> Joined:
    """Become a host of the region; again with the same key is the same host.

    said:   `name`; `vtep_addresses`, or `reached_from`, where its tunnels end if the region knows no better; and what
            else the host says of itself.
    agents: where agents attach, if it is not where the region says.
    Raises: JoinError, OSError.
    """
    folder.path.mkdir(parents=True, exist_ok=True, mode=0o755)
    _check_name(folder, str(said["name"]))
    key = _ensure_key(folder)
    request = make_request(key, str(said["name"])).decode()
    body: dict[str, Any] = {"invite": invitation.id, "request": request, **said}
    body["signature"] = invitation.sign(body)
    answer = _call(region, "/hosts/join", body)
    try:
        host_id, name = str(answer["host"]["id"]), str(answer["host"]["name"])
        told, is_secured = tuple([str(one) for one in answer["agents"]]), bool(answer["tls"])
        vteps = tuple([str(one) for one in answer["host"]["vtep_addresses"]])
    except (KeyError, TypeError) as error:
        raise JoinError(f"{region} is not the API of an Alcor region: its answer has no {error}") from error
    certificate, trusted = _believed(answer, key, host_id, [invitation.authority], now or utc_now())
    joined = Joined(host_id, name, region, tuple(agents) or _reachable(told, region), is_secured, vteps)
    folder.write(certificate, trusted)
    joined.write(folder)
    return joined


def renew(folder: HostFolder, host_id: str, region: str, *, now: datetime | None = None) -> None:
    """Have a new certificate for the host's key. Raises: JoinError, OSError, ValueError."""
    key = folder.key()
    request = make_request(key, host_id).decode()
    answer = _call(region, f"/hosts/{host_id}/certificate", {"request": request})
    folder.write(*_believed(answer, key, host_id, folder.trusted_fingerprints(), now or utc_now()))


def leave(folder: HostFolder, joined: Joined, *, now_ms: int) -> None:
    """Tell the region that the host goes; its identity is worth nothing from then on. Raises: JoinError, OSError."""
    proof = make_proof(folder.key(), joined.host_id, now_ms=now_ms, deed=LEAVE)
    _call(joined.region, f"/hosts/{joined.host_id}/leave", {"proof": proof})


def _check_name(folder: HostFolder, name: str) -> None:
    """One key is one host. Raises: JoinError if this one is of another, which has this machine's past, or a copy's."""
    try:
        before = Joined.read(folder)
    except JoinError:
        return
    if before is not None and before.name != name:
        raise JoinError(
            f"this machine has joined as host '{before.name}', and its key is that host's. Leave first (`alcor-agent "
            f"leave`); if that host was removed, or is the machine that this one was copied from, remove {folder.path}."
        )


def _ensure_key(folder: HostFolder) -> PrivateKey:
    """The host's key, made on the first try and kept for the next: what was asked for once may have been granted."""
    if not (folder.path / HOST_KEY).exists():
        write_file(folder.path / HOST_KEY, pem_of_key(make_key()), 0o600)
    try:
        return folder.key()
    except ValueError as error:
        raise JoinError(f"{folder.path / HOST_KEY} is not a key of ours: {error}. Move it away.") from error


def _believed(
    answer: Mapping[str, Any], key: PrivateKey, host_id: str, pins: Sequence[str], now: datetime
) -> tuple[bytes, bytes]:
    """The certificate and the authorities of an answer, believed for an authority that is known. Raises: JoinError."""
    try:
        certificate, trusted = str(answer["certificate"]).encode(), str(answer["trusted"]).encode()
        seal = str(answer["seal"])
        own = x509.load_pem_x509_certificate(certificate)
        authorities = x509.load_pem_x509_certificates(trusted)
    except (KeyError, ValueError) as error:
        raise JoinError(f"the answer is not of an Alcor region's API: {error!r}") from error
    issuer = next((one for one in authorities if fingerprint_of(one) in pins and _issued(own, one)), None)
    # Others are believed because the one that is known says so; else who answers could add his own.
    if issuer is None or not is_sealed(issuer, trusted, seal):
        raise JoinError(
            "the answer is not of the region that the invitation is for: its authority is another. Is this the right "
            "URL? If it is, somebody else answers there."
        )
    if _name(own) != host_id or own.public_key() != key.public_key():
        raise JoinError("the certificate that was answered is of another host or key")
    begin, end = own.not_valid_before_utc, own.not_valid_after_utc
    if not begin <= now < end:
        raise JoinError(
            f"the new certificate is valid from {begin:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S} UTC, and this "
            f"host's clock says {now:%Y-%m-%d %H:%M:%S}. Set the clock (NTP) and join again."
        )
    return certificate, trusted


def _issued(own: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        own.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _name(own: x509.Certificate) -> str:
    try:
        return peer_of(own).host_id
    except ValueError:
        return ""


def _reachable(told: Sequence[str], region: str) -> tuple[str, ...]:
    """Where this host finds what the region listens on. Raises: JoinError if that is nowhere."""
    host = urlsplit(region).hostname or ""
    shown = f"[{host}]" if ":" in host else host
    found = []
    for address in told:
        name, _, port = address.rpartition(":")
        found.append(f"{shown}:{port}" if name in _WILDCARDS else address)
    if not found:
        raise JoinError("the region does not say where its agents attach; name it by --ncm")
    if not _is_loopback(host) and all(_is_loopback(one.rpartition(":")[0].strip("[]")) for one in found):
        raise JoinError(
            f"the region serves agents at {', '.join(found)}, which is its own machine. Have it listen for other "
            "machines (`alcor up --agents-listen 0.0.0.0:9697`, or ncm.listen), or name its ncm by --ncm."
        )
    return tuple(found)


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _call(region: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    url = region.rstrip("/").removesuffix("/v2.0") + path
    if urlsplit(url).scheme not in ("http", "https"):
        raise JoinError(f"'{region}' is not the URL of a region's API, such as http://192.0.2.10:9696")
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    # See the head: the answer is believed for its content.
    context = ssl._create_unverified_context()
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(request, timeout=ANSWER_S) as answer:
            text = answer.read(_ANSWER_BYTES_MAX)
    except urllib.error.HTTPError as error:
        raise JoinError(_told(error)) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise JoinError(f"the region's API at {region} cannot be reached: {reason}") from error
    try:
        found = json.loads(text) if text else {}
    except ValueError as error:
        raise JoinError(f"{region} is not the API of an Alcor region: it does not answer JSON") from error
    return found if isinstance(found, dict) else {}


def _told(error: urllib.error.HTTPError) -> str:
    with error:
        try:
            message = json.loads(error.read(_ANSWER_BYTES_MAX))["NeutronError"]["message"]
        except (ValueError, KeyError, TypeError, OSError):
            message = f"{error.reason}"
    return f"{message} (HTTP {error.code})"
