"""A host's end of joining and renewing: whom it believes, and what it says when it does not."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from alcor.agent.joining import Joined, JoinError, join, renew
from alcor.identity.authority import Authority, load_authority, pem_of, utc_now
from alcor.identity.folder import HostFolder
from alcor.identity.invitation import Invitation, is_signed, public_of
from alcor.identity.key import parse_request, pem_of_key
from alcor.identity.name import fingerprint_of
from alcor.managers.node.authority import Certifier
from alcor.model.host import Host
from tests.support.identity import HOST_ID, JoinedHost, an_authority

Json = dict[str, Any]
SECRET = "A" * 43
SAID: Json = {"name": "h1", "vtep_addresses": ["192.0.2.1"]}


def invited(authority: Authority) -> Invitation:
    return Invitation(str(uuid4()), SECRET, authority.fingerprint)


@contextmanager
def answering(answer: Callable[[str, Json], tuple[int, Json]]) -> Iterator[str]:
    """An HTTP server that answers each POST by `answer(path, body)`; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, said = answer(self.path, body)
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Not a test's output."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def certified(authority: Authority, body: Json, **changes: Any) -> Json:
    """What a region with this authority answers."""
    row = Host(id=HOST_ID, name="h1", vtep_addresses=("192.0.2.1",))
    issued = Certifier(lambda: authority).issue(row, parse_request(body["request"]))
    host = {"id": HOST_ID, "name": "h1", "cluster": "", "vtep_addresses": ["192.0.2.1"]}
    return {"host": host, **issued, "agents": ["0.0.0.0:9697"], "tls": True} | changes


def a_region(authority: Authority, **changes: Any) -> Callable[[str, Json], tuple[int, Json]]:
    return lambda _path, body: (200, certified(authority, body, **changes))


def test_what_a_host_sends_is_signed_and_not_secret(tmp_path: Path) -> None:
    """The request proves the invitation without showing it; a wildcard address is that of the region's URL."""
    authority, asked = an_authority(), []
    invitation = invited(authority)

    def answer(path: str, body: Json) -> tuple[int, Json]:
        asked.append((path, body))
        return 200, certified(authority, body)

    with answering(answer) as url:
        joined = join(HostFolder(tmp_path / "id"), invitation, url, SAID)

    ((path, body),) = asked
    said = {name: value for name, value in body.items() if name != "signature"}
    assert path == "/hosts/join"
    assert is_signed(public_of(SECRET), said, body["signature"])
    assert SECRET not in json.dumps(body)
    assert joined == Joined(HOST_ID, "h1", url, ("127.0.0.1:9697",), tls=True, vteps=("192.0.2.1",))
    assert Joined.read(HostFolder(tmp_path / "id")) == joined
    assert sorted(path.name for path in (tmp_path / "id").iterdir()) == [
        "ca.pem",
        "host.key",
        "host.pem",
        "joined.json",
    ]
    assert (tmp_path / "id" / "host.key").stat().st_mode & 0o777 == 0o600


def test_the_key_of_a_first_try_is_used_again(tmp_path: Path) -> None:
    """The region may have granted what was never answered: the second try must be the same host's."""
    authority, keys = an_authority(), []

    def answer(_path: str, body: Json) -> tuple[int, Json]:
        keys.append(parse_request(body["request"]).public_key())
        return (503, {}) if len(keys) == 1 else (200, certified(authority, body))

    with answering(answer) as url:
        with pytest.raises(JoinError, match="HTTP 503"):
            join(HostFolder(tmp_path), invited(authority), url, SAID)
        join(HostFolder(tmp_path), invited(authority), url, SAID)

    assert keys[0] == keys[1]


def test_a_key_is_of_one_host(tmp_path: Path) -> None:
    """A machine that was renamed or copied is told so before anything is asked; the same name is asked for again."""
    authority, names = an_authority(), []

    def answer(_path: str, body: Json) -> tuple[int, Json]:
        names.append(body["name"])
        return 200, certified(authority, body)

    with answering(answer) as url:
        join(HostFolder(tmp_path), invited(authority), url, SAID)
        with pytest.raises(JoinError, match=f"joined as host 'h1'.*remove {tmp_path}"):
            join(HostFolder(tmp_path), invited(authority), url, SAID | {"name": "h2"})
        join(HostFolder(tmp_path), invited(authority), url, SAID)

    assert names == ["h1", "h1"]


def test_another_regions_answer_is_not_believed(tmp_path: Path) -> None:
    """Who answers in the region's place, with an authority of his own, changes nothing here."""
    with answering(a_region(an_authority())) as url, pytest.raises(JoinError, match="not of the region"):
        join(HostFolder(tmp_path), invited(an_authority()), url, SAID)

    assert not HostFolder(tmp_path).is_joined


def test_an_authority_cannot_be_slipped_in(tmp_path: Path) -> None:
    """An authority beside the known one is believed only if the known one says so."""
    authority, evil = an_authority(), an_authority()
    slipped = a_region(authority, trusted=(authority.trusted_pem + evil.trusted_pem).decode())
    with answering(slipped) as url, pytest.raises(JoinError, match="not of the region"):
        join(HostFolder(tmp_path), invited(authority), url, SAID)


def test_a_new_authority_is_learned_when_a_certificate_is_renewed(tmp_path: Path) -> None:
    """Both are believed once the old one vouches for the new; then the new one alone may sign."""
    old, new = an_authority(), an_authority()
    host = JoinedHost(tmp_path, old)
    both = old.trusted_pem + new.trusted_pem
    with answering(a_region(load_authority(pem_of_key(old.key), both))) as url:
        renew(host.folder, HOST_ID, url)
    with answering(a_region(load_authority(pem_of_key(new.key), both))) as url:
        renew(host.folder, HOST_ID, url)

    assert host.folder.certificate().issuer == new.certificate.subject
    assert sorted(host.folder.trusted_fingerprints()) == sorted(
        fingerprint_of(one.certificate) for one in (old, new)
    )


def test_a_wrong_clock_is_named(tmp_path: Path) -> None:
    """A host whose clock is off learns both times; nothing is kept but its key."""
    authority = an_authority()
    with answering(a_region(authority)) as url, pytest.raises(JoinError, match="clock says"):
        join(HostFolder(tmp_path), invited(authority), url, SAID, now=utc_now() - timedelta(hours=1))

    assert not HostFolder(tmp_path).is_joined


def test_a_certificate_of_another_host_is_not_believed(tmp_path: Path) -> None:
    """The certificate must name the host of the answer, and hold this host's key."""
    authority = an_authority()
    other = pem_of(
        authority.issue_host(an_authority().key.public_key(), HOST_ID, [], now=utc_now(), days=1)
    ).decode()
    with (
        answering(a_region(authority, certificate=other)) as url,
        pytest.raises(JoinError, match="another host or key"),
    ):
        join(HostFolder(tmp_path), invited(authority), url, SAID)


def test_the_regions_own_words_are_told(tmp_path: Path) -> None:
    """A refusal is the sentence that the region gave."""
    refusal = {"NeutronError": {"message": "This invitation is used up."}}
    with (
        answering(lambda *_: (409, refusal)) as url,
        pytest.raises(JoinError, match=r"used up\. \(HTTP 409\)"),
    ):
        join(HostFolder(tmp_path), invited(an_authority()), url, SAID)


@pytest.mark.parametrize("url", ["ftp://192.0.2.1", "region", "http://127.0.0.1:1"])
def test_a_region_that_is_not_there_is_named(tmp_path: Path, url: str) -> None:
    """A wrong URL and a region that is down are told apart from a refusal."""
    with pytest.raises(JoinError, match=r"URL of a region|cannot be reached"):
        join(HostFolder(tmp_path), invited(an_authority()), url, SAID)


def test_what_is_no_invitation_says_so() -> None:
    """Half a copy is not half an invitation."""
    text = invited(an_authority()).text

    assert Invitation.parse(f" {text}\n").text == text
    for bad in (text[:-1], text.replace("alcor-join", "alcor"), "", text + "a"):
        with pytest.raises(ValueError, match="not an invitation"):
            Invitation.parse(bad)
