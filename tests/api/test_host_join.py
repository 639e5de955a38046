"""Invitations, and hosts that join, renew and leave by keys of their own."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography import x509

from alcor.identity.invitation import Invitation
from alcor.identity.key import PrivateKey, make_key, make_request
from alcor.identity.name import digest_of, peer_of
from alcor.identity.proof import LEAVE, make_proof
from alcor.managers.node.authority import BURST, Certifier, Welcome
from alcor.model.host import Host
from alcor.store.interface import HostObservation, Store
from tests.support.api import Api, error_of, serving
from tests.support.identity import an_authority
from tests.support.store import Clock

Json = dict[str, Any]


@pytest.fixture
async def api(store: Store) -> AsyncIterator[Api]:
    """An API that certifies hosts, as an administrator."""
    welcome = Welcome(("192.0.2.200:9697",), is_secured=True)
    authority = an_authority()
    certifier = Certifier(lambda: authority, welcome=welcome, monotonic_s=lambda: 0.0)
    async with serving(store, certifier=certifier) as opened:
        yield opened


async def invited(api: Api, **said: Any) -> Invitation:
    return Invitation.parse((await api.made("host_invite", **said))["token"])


def a_body(
    invitation: Invitation, key: PrivateKey, name: str = "h1", vtep: str = "192.0.2.1", **more: Any
) -> Json:
    """What a host says when it joins, signed. `vtep`: "" says nothing."""
    body: Json = {
        "invite": invitation.id,
        "request": make_request(key, name).decode(),
        "name": name,
        **({"vtep_addresses": [vtep]} if vtep else {}),
        **more,
    }
    return body | {"signature": invitation.sign(body)}


async def joined(api: Api, invitation: Invitation, key: PrivateKey, **said: Any) -> Json:
    answer = await api.post("/hosts/join", a_body(invitation, key, **said))
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def row_of(store: Store, id: str) -> Host:
    row = await store.reader.find(Host, id)
    assert row is not None
    return row


async def test_a_host_joins_by_an_invitation(api: Api, store: Store) -> None:
    """It is registered as the invitation says and certified for its own key; it is told where agents attach."""
    invitation = await invited(api, cluster="c1", availability_zone="az2", gateway=True)
    key = make_key()

    answer = await joined(api, invitation, key)

    certificate = x509.load_pem_x509_certificate(answer["certificate"].encode())
    host = await api.shown(f"/hosts/{answer['host']['id']}")
    assert (host["name"], host["cluster"], host["availability_zone"]) == ("h1", "c1", "az2")
    assert (host["gateway"], host["vtep_addresses"]) == (True, ["192.0.2.1"])
    assert peer_of(certificate).host_id == host["id"]
    assert certificate.public_key() == key.public_key()
    assert (await row_of(store, host["id"])).key_digest == digest_of(certificate)
    assert (await row_of(store, host["id"])).token_digest == ""
    assert (answer["agents"], answer["tls"]) == (["192.0.2.200:9697"], True)
    assert (await api.shown(f"/host-invites/{invitation.id}"))["uses"] == 1


async def test_the_invitations_secret_is_shown_once(api: Api) -> None:
    """Neither reading it nor the history tells it again; what is stored cannot be used to join."""
    made = await api.made("host_invite")
    secret = Invitation.parse(made["token"]).secret

    read = await api.get(f"/host-invites/{made['id']}")
    history = await api.get("/changes", params={"resource_id": made["id"]})

    assert "token" not in read.json()["host_invite"]
    assert secret not in read.text + history.text


async def test_joining_again_with_the_key_is_the_same_host(api: Api) -> None:
    """An answer that was lost costs nothing: no use of the invitation, no second host."""
    invitation, key = await invited(api), make_key()
    first = await joined(api, invitation, key)

    second = await joined(api, invitation, key, vtep="192.0.2.9")

    assert second["host"]["id"] == first["host"]["id"]
    assert (await api.shown(f"/hosts/{first['host']['id']}"))["vtep_addresses"] == ["192.0.2.9"]
    assert (await api.shown(f"/host-invites/{invitation.id}"))["uses"] == 1


async def test_an_invitation_has_so_many_uses(api: Api) -> None:
    """The host after the last is refused with the way out."""
    invitation = await invited(api, uses_max=2)
    for number in (1, 2):
        await joined(api, invitation, make_key(), name=f"h{number}", vtep=f"192.0.2.{number}")

    answer = await api.post("/hosts/join", a_body(invitation, make_key(), "h3", "192.0.2.3"))

    status, _, message = error_of(answer)
    assert (status, "2 of 2 hosts" in message, "alcor host invite" in message) == (409, True, True)


async def test_an_invitation_expires(api: Api, clock: Clock) -> None:
    """Its time is said when it is over."""
    invitation = await invited(api, expires_s=60)
    clock.advance(60)

    status, _, message = error_of(await api.post("/hosts/join", a_body(invitation, make_key())))

    assert (status, "expired at" in message) == (403, True)


async def test_a_withdrawn_invitation_is_unknown(api: Api) -> None:
    """Nobody joins by it any more."""
    invitation = await invited(api)
    assert (await api.delete(f"/host-invites/{invitation.id}")).status_code == 204

    status, _, message = error_of(await api.post("/hosts/join", a_body(invitation, make_key())))

    assert (status, "not known" in message) == (403, True)


@pytest.mark.parametrize("changed", ["name", "vtep_addresses", "request", "signature"])
async def test_nothing_of_a_signed_request_can_be_changed(api: Api, changed: str) -> None:
    """Who sees a request on its way can neither take another name nor put his own key in."""
    body = a_body(await invited(api), make_key())
    other = a_body(await invited(api), make_key(), "h2", "192.0.2.2")

    status, _, _ = error_of(await api.post("/hosts/join", body | {changed: other[changed]}))

    assert status == 403
    assert (await api.get("/hosts")).json()["hosts"] == []


async def test_a_name_belongs_to_its_key(api: Api) -> None:
    """Another machine of the name is refused, unless an invitation names the host: then it takes its place."""
    first = await joined(api, await invited(api), make_key())
    key = make_key()

    status, kind, message = error_of(await api.post("/hosts/join", a_body(await invited(api), key)))
    again = await joined(api, await invited(api, host_name="h1"), key, vtep="192.0.2.1")

    assert (status, "alcor host invite --host h1" in message) == (409, True), kind
    assert again["host"]["id"] == first["host"]["id"]


async def test_an_invitation_of_a_host_is_for_it_only(api: Api) -> None:
    """It names the host; another name is refused."""
    invitation = await invited(api, host_name="h1")

    status, _, message = error_of(await api.post("/hosts/join", a_body(invitation, make_key(), "h2")))

    assert (status, "for host 'h1'" in message) == (403, True)


async def test_a_host_of_an_inventory_joins_as_it(api: Api, store: Store) -> None:
    """Who was registered and never heard of takes a key by any invitation; who has an agent does not."""
    quiet = await api.made("host", name="h1", vtep_addresses=["192.0.2.1"], cluster="c7")
    loud = await api.made("host", name="h2", vtep_addresses=["192.0.2.2"])
    await store.observations.put([], [HostObservation(loud["id"], alive=False, seen_at_ms=1)], term=0)

    answer = await joined(api, await invited(api, cluster="c1"), make_key())
    refused = await api.post("/hosts/join", a_body(await invited(api), make_key(), "h2", "192.0.2.2"))

    assert answer["host"] == {
        "id": quiet["id"],
        "name": "h1",
        "cluster": "c7",
        "vtep_addresses": ["192.0.2.1"],
    }
    assert refused.status_code == 409


async def test_what_nobody_said_is_no_word_against_the_regions(api: Api) -> None:
    """Where a host is reached from decides where the tunnels of a new one end, and changes no host that is known:
    an inventory that puts tunnels on a network of their own stays in force."""
    invitation = await invited(api, uses_max=2)
    await api.made("host", name="h1", vtep_addresses=["192.0.2.1"], bridge_mappings={"a": "br-a"})
    key, found = make_key(), {"vtep": "", "reached_from": "198.51.100.7"}

    planned = [await joined(api, invitation, key, **found) for _ in range(2)]
    new = await joined(api, invitation, make_key(), name="h2", **found)

    assert [one["host"]["vtep_addresses"] for one in planned] == [["192.0.2.1"]] * 2
    assert new["host"]["vtep_addresses"] == ["198.51.100.7"]
    nowhere = await api.post("/hosts/join", a_body(await invited(api), make_key(), "h3", ""))
    assert (nowhere.status_code, "vtep_addresses" in nowhere.text) == (400, True)


async def test_what_a_host_says_again_counts(api: Api) -> None:
    """Joining again with the key brings what is named then; what is not named stays."""
    invitation, key = await invited(api), make_key()
    id = (await joined(api, invitation, key, bridge_mappings={"a": "br-a"}))["host"]["id"]

    await joined(api, invitation, key, vtep="", reached_from="198.51.100.7", bridge_mappings="b:br-b")

    host = await api.shown(f"/hosts/{id}")
    assert (host["vtep_addresses"], host["bridge_mappings"]) == (["192.0.2.1"], {"b": "br-b"})


async def test_what_a_host_says_is_bounded(api: Api) -> None:
    """Requests that are too large, of the wrong kind, or incomplete are refused before anything is written."""
    good = a_body(await invited(api), make_key())
    for bad in (
        good | {"request": "x" * 5000},
        good | {"request": 7},
        good | {"name": ""},
        good | {"vtep_addresses": ["nowhere"]},
        good | {"extra": 1},
        {name: value for name, value in good.items() if name != "signature"},
    ):
        assert (await api.post("/hosts/join", bad)).status_code == 400


async def test_a_certificate_is_renewed_for_the_key(api: Api) -> None:
    """The host's key alone is asked for; a new key is not certified. Nothing of the host changes."""
    key = make_key()
    host = (await joined(api, await invited(api), key))["host"]
    before = await api.shown(f"/hosts/{host['id']}")

    answer = await api.post(f"/hosts/{host['id']}/certificate", {"request": make_request(key, "h").decode()})
    refused = await api.post(
        f"/hosts/{host['id']}/certificate", {"request": make_request(make_key(), "h").decode()}
    )

    renewed = x509.load_pem_x509_certificate(answer.json()["certificate"].encode())
    assert peer_of(renewed).host_id == host["id"]
    assert refused.status_code == 403
    assert await api.shown(f"/hosts/{host['id']}") == before


async def test_a_revoked_host_is_not_certified_again(api: Api, store: Store) -> None:
    """Its key is forgotten: it neither renews nor attaches until it is invited again."""
    key = make_key()
    host = (await joined(api, await invited(api), key))["host"]

    assert (await api.put(f"/hosts/{host['id']}/revoke", None)).status_code == 200

    request = {"request": make_request(key, "h").decode()}
    status, _, message = error_of(await api.post(f"/hosts/{host['id']}/certificate", request))
    assert (status, "revoked" in message) == (403, True)
    assert (await row_of(store, host["id"])).key_digest == ""


async def test_a_host_leaves_by_its_key(api: Api, clock: Clock) -> None:
    """A proof of its key, of now and for leaving, removes it; not while a port is bound to it."""
    key = make_key()
    id = (await joined(api, await invited(api), key))["host"]["id"]
    network = await api.a_network()
    port = await api.a_port(network["id"], **{"binding:host_id": "h1"})

    async def left(key: PrivateKey, now_ms: int, deed: str = LEAVE) -> int:
        proof = make_proof(key, id, now_ms=now_ms, deed=deed)
        return (await api.post(f"/hosts/{id}/leave", {"proof": proof})).status_code

    now_ms = clock.now_ms
    assert await left(make_key(), now_ms) == 403
    assert await left(key, now_ms, "hello") == 403
    assert await left(key, now_ms - 301_000) == 403
    assert await left(key, now_ms) == 409
    await api.delete(f"/v2.0/ports/{port['id']}")
    assert await left(key, now_ms) == 204
    assert (await api.get(f"/hosts/{id}")).status_code == 404


async def test_members_do_not_invite(member: Api) -> None:
    """Invitations are an administrator's."""
    assert (await member.post("/host-invites", {"host_invite": {}})).status_code == 403


async def test_joining_needs_no_token_but_is_bounded(store: Store) -> None:
    """Calls that need no token are counted: the one after the burst is told to wait."""
    authority = an_authority()
    certifier = Certifier(lambda: authority, monotonic_s=lambda: 0.0)
    async with serving(store, certifier=certifier, token=None) as stranger:
        codes = [(await stranger.post("/hosts/join", {})).status_code for _ in range(int(BURST) + 1)]

    assert set(codes[:-1]) == {400}
    assert codes[-1] == 503


async def test_without_the_authoritys_key_nobody_is_invited(store: Store) -> None:
    """A process that cannot certify says so, and what to do."""
    async with serving(store, certifier=Certifier()) as api:
        status, _, message = error_of(await api.post("/host-invites", {"host_invite": {}}))

    assert (status, "ca.key" in message) == (409, True)
