"""Keys, certificates and their authority."""

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from alcor.identity.authority import load_authority, make_authority, pem_of
from alcor.identity.credential import FileSource, IssuedSource, renewal_of
from alcor.identity.folder import CA, CA_KEY, RegionFolder
from alcor.identity.key import load_key, make_key, make_request, parse_request, pem_of_key, write_file
from alcor.identity.name import Peer, digest_of, peer_of
from alcor.identity.proof import AGE_S_MAX, make_proof, read_proof

NOW = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
HOST = "0192f0c1-2e4a-7b54-9c6d-000000000001"


def test_a_hosts_certificate_names_it_and_its_addresses() -> None:
    """Subject alternative names: the host's URI and its tunnel addresses, nothing of the request's own choice."""
    authority, key = make_authority(now=NOW), make_key()

    made = authority.issue_host(key.public_key(), HOST, ["192.0.2.1", "2001:db8::1"], now=NOW, days=30)

    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"alcor://region/host/{HOST}"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1", "2001:db8::1"]
    assert names.get_values_for_type(x509.DNSName) == []
    assert peer_of(made) == Peer(HOST, "", digest_of(made))
    made.verify_directly_issued_by(authority.certificate)


def test_two_certificates_of_a_key_have_one_digest() -> None:
    """What the region knows of a host does not change when its certificate is renewed."""
    authority, key = make_authority(now=NOW), make_key()
    first = authority.issue_host(key.public_key(), HOST, [], now=NOW, days=1)
    second = authority.issue_host(key.public_key(), HOST, [], now=NOW + timedelta(days=1), days=1)

    assert digest_of(first) == digest_of(second) == digest_of(parse_request(make_request(key, "h").decode()))
    assert first.serial_number != second.serial_number


def test_no_certificate_outlives_its_authority() -> None:
    """What the authority cannot vouch for any more is not issued."""
    authority = make_authority(now=NOW - timedelta(days=3645))

    made = authority.issue_role(make_key().public_key(), "ncm", now=NOW, days=90)

    assert made.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_it_is_renewed_after_two_thirds() -> None:
    """One third of its life is left for trying."""
    made = make_authority(now=NOW).issue_role(make_key().public_key(), "ncm", now=NOW, days=3)

    assert abs(renewal_of(made) - (NOW + timedelta(days=2))) < timedelta(minutes=5)


def test_a_process_renews_its_own() -> None:
    """The credential is the same until it is due, then another of the same key."""
    clock, authority = [NOW], make_authority(now=NOW)
    source = IssuedSource(lambda: authority, "ncm", days=3, now=lambda: clock[0])
    first = source.current()
    clock[0] = NOW + timedelta(days=1)
    still = source.current()
    clock[0] = NOW + timedelta(days=2)

    second = source.current()

    assert still is first
    assert second.certificate != first.certificate
    assert second.key == first.key


def test_files_are_read_again_when_they_change(tmp_path: Path) -> None:
    """A copied certificate is used without a start."""
    for name in ("a", "b", "c"):
        write_file(tmp_path / name, name.encode(), 0o600)
    source = FileSource(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    first = source.current()

    write_file(tmp_path / "a", b"renewed", 0o600)

    assert source.current() is not first
    assert source.current().certificate == b"renewed"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a certificate signing request"),
        ("x" * 5000, "more than 4096 characters"),
        (
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
            "not a certificate",
        ),
        ("ä", "not a certificate signing request"),
    ],
)
def test_what_is_no_request_says_so(text: str, reason: str) -> None:
    """Bounded in size, and one sentence for what cannot be read."""
    with pytest.raises(ValueError, match=reason):
        parse_request(text)


def test_the_folder_is_made_once_and_its_key_is_private(tmp_path: Path) -> None:
    """A second start finds the same authority; only the owner reads the key."""
    folder = RegionFolder(tmp_path / "tls")
    folder.ensure(now=NOW)
    first = folder.authority()
    RegionFolder(tmp_path / "tls").ensure(now=NOW)
    second = folder.authority()

    assert first is not None
    assert second is not None
    assert first.fingerprint == second.fingerprint
    assert stat.S_IMODE(os.stat(tmp_path / "tls" / CA_KEY).st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["tls"]


def test_a_folder_without_the_key_needs_the_roles_files(tmp_path: Path) -> None:
    """An ncm of another machine does not sign; what it lacks is said with the command that makes it."""
    folder = RegionFolder(tmp_path / "tls")
    folder.ensure(now=NOW)
    authority = folder.authority()
    assert authority is not None
    (tmp_path / "tls" / CA_KEY).unlink()

    assert folder.authority() is None
    with pytest.raises(FileNotFoundError, match="alcor ca issue ncm"):
        folder.source("ncm", days=1)
    made = IssuedSource(lambda: authority, "ncm", days=1, now=lambda: NOW).current()
    (tmp_path / "tls" / "ncm.pem").write_bytes(made.certificate)
    (tmp_path / "tls" / "ncm.key").write_bytes(made.key)
    assert folder.source("ncm", days=1).current() == made


def test_a_rotated_authority_keeps_the_old_one_trusted(tmp_path: Path) -> None:
    """`ca.pem` may hold several; the one whose key is there signs and comes first."""
    old, new = make_authority(now=NOW), make_authority(now=NOW)

    both = load_authority(pem_of_key(new.key), old.trusted_pem + new.trusted_pem)

    assert both.fingerprint == new.fingerprint
    assert x509.load_pem_x509_certificates(both.trusted_pem) == [new.certificate, old.certificate]
    with pytest.raises(ValueError, match="none of the certificates"):
        load_authority(pem_of_key(make_key()), old.trusted_pem)
    assert (tmp_path / CA).exists() is False


def test_a_proof_is_of_one_key_one_host_and_one_moment() -> None:
    """What was signed for a host says nothing of another, nor of tomorrow."""
    key, now_ms = make_key(), 1_790_000_000_000
    proof = make_proof(key, HOST, now_ms=now_ms)

    digest = read_proof(proof, HOST, now_ms=now_ms + AGE_S_MAX * 1000)

    assert digest == digest_of(parse_request(make_request(key, "h").decode()))
    with pytest.raises(ValueError, match="another host"):
        read_proof(proof, HOST[:-1] + "2", now_ms=now_ms)
    with pytest.raises(ValueError, match="clock"):
        read_proof(proof, HOST, now_ms=now_ms + AGE_S_MAX * 1000 + 1)
    with pytest.raises(ValueError):
        read_proof("key.a.b.c", HOST, now_ms=now_ms)


def test_a_private_key_is_read_back() -> None:
    """What is written is what is read; what is none says so."""
    key = make_key()

    assert load_key(pem_of_key(key)).private_numbers() == key.private_numbers()
    with pytest.raises(ValueError):
        load_key(pem_of(make_authority(now=NOW).certificate))


def test_an_authority_that_is_put_beside_is_believed_at_once(tmp_path: Path) -> None:
    """Of a process that signs for itself: files of another content serve the next handshake, without a start."""
    folder = RegionFolder(tmp_path / "tls")
    folder.ensure(now=NOW)
    source = folder.source("ncm", days=1)
    first = source.current()
    other = make_authority(now=NOW)
    write_file(folder.path / CA, first.trusted + other.trusted_pem, 0o644)
    second = source.current()

    assert source.current() == second
    assert second.trusted == first.trusted + other.trusted_pem
    (folder.path / CA_KEY).unlink()
    with pytest.raises(OSError, match=CA_KEY):
        source.current()
