"""If-Match: a change happens only to the revision it was meant for."""

import asyncio

import pytest

from tests.support.api import Api, error_of


@pytest.mark.parametrize(
    "tag", ["revision_number=0", '"revision_number=0"', '"etag-of-a-proxy", revision_number=0']
)
async def test_a_matching_revision_is_changed(api: Api, tag: str) -> None:
    """With the present revision_number the change happens and counts it up."""
    network = await api.a_network()
    path = f"/v2.0/networks/{network['id']}"
    answer = await api.put(path, {"network": {"name": "red"}}, headers={"If-Match": tag})

    assert answer.status_code == 200
    assert answer.json()["network"]["revision_number"] == 1


async def test_another_revision_is_a_412(api: Api) -> None:
    """With another revision_number neither update nor delete happens: 412 that names both numbers."""
    network = await api.a_network()
    path = f"/v2.0/networks/{network['id']}"
    stale = {"If-Match": "revision_number=5"}

    for answer in (
        await api.put(path, {"network": {"name": "red"}}, headers=stale),
        await api.delete(path, headers=stale),
    ):
        status, name, message = error_of(answer)
        assert (status, name) == (412, "RevisionNumberConstraintFailed")
        assert "revision_number 0, not 5" in message
    assert await api.shown(path) == network
    assert (await api.delete(path, headers={"If-Match": "revision_number=0"})).status_code == 204


async def test_of_many_writers_with_one_revision_one_wins(api: Api) -> None:
    """The comparison is part of the transaction: of ten concurrent updates of one revision, one happens."""
    network = await api.a_network()
    path = f"/v2.0/networks/{network['id']}"
    answers = await asyncio.gather(
        *(
            api.put(path, {"network": {"name": f"{n}"}}, headers={"If-Match": "revision_number=0"})
            for n in range(10)
        )
    )

    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 9]
    winner = next(answer for answer in answers if answer.status_code == 200)
    assert await api.shown(path) == winner.json()["network"]


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("revision_number=x", "Revision number etag must be in the format of revision_number=<int>"),
        ("revision_number=", "Revision number etag must be in the format of revision_number=<int>"),
        ("revision_number=1, revision_number=2", "Multiple revision_number etags are not supported."),
    ],
)
async def test_a_tag_that_says_nothing_is_a_400(api: Api, tag: str, message: str) -> None:
    """A malformed revision is refused, not passed over: the client meant to be careful."""
    network = await api.a_network()
    answer = await api.delete(f"/v2.0/networks/{network['id']}", headers={"If-Match": tag})

    assert error_of(answer) == (400, "HTTPBadRequest", message)
