"""The table from errors to answers: complete, and as clients of the reference server expect."""

import pytest

from alcor.api.errors import (
    ERROR_TYPES,
    InItem,
    Refused,
    bad_request,
    failure_of,
    internal_error,
    reference,
)
from alcor.model import errors
from alcor.model.errors import (
    AlcorError,
    Conflict,
    Exhausted,
    Forbidden,
    InUse,
    InvalidInput,
    NotFound,
    Problem,
    QuotaExceeded,
    StaleRevision,
    Unauthenticated,
    Unavailable,
)

REALM = "http://alcor.test:9696"

ROWS: list[tuple[AlcorError, int, str]] = [
    (NotFound("network", "x"), 404, "NetworkNotFound"),
    (NotFound("subnet", "x"), 404, "SubnetNotFound"),
    (NotFound("port", "x"), 404, "PortNotFound"),
    (NotFound("host", "x"), 404, "HostNotFound"),
    (NotFound("mac_range", "x"), 404, "MacRangeNotFound"),
    (InUse("network", "x", by="port y"), 409, "NetworkInUse"),
    (InUse("subnet", "x", by="port y"), 409, "SubnetInUse"),
    (InUse("port", "x", by="server y"), 409, "PortInUse"),
    (InvalidInput("no"), 400, "InvalidInput"),
    (InvalidInput("no", problem=Problem.UNKNOWN_ATTRIBUTE), 400, "HTTPBadRequest"),
    (InvalidInput("no", problem=Problem.ADDRESS_NOT_IN_SUBNET), 400, "InvalidIpForSubnet"),
    (InvalidInput("no", problem=Problem.ADDRESS_NOT_ON_NETWORK), 400, "InvalidIpForNetwork"),
    (InvalidInput("no", problem=Problem.POOL_OUT_OF_SUBNET), 400, "OutOfBoundsAllocationPool"),
    (InvalidInput("no", problem=Problem.TOO_LARGE), 413, "HTTPRequestEntityTooLarge"),
    (InvalidInput("no", problem=Problem.SUBNET_OVERLAP), 400, "InvalidInput"),
    (Conflict("no", problem=Problem.SUBNET_OVERLAP), 400, "InvalidInput"),
    (Conflict("no", problem=Problem.POOLS_OVERLAP), 409, "OverlappingAllocationPools"),
    (Conflict("no", problem=Problem.GATEWAY_IN_POOL), 409, "GatewayConflictWithAllocationPools"),
    (InUse("ip", "x", by="y", problem=Problem.ADDRESS_TAKEN), 409, "IpAddressAlreadyAllocated"),
    (InUse("mac", "x", by="y", problem=Problem.MAC_TAKEN), 409, "MacAddressInUse"),
    (Conflict("no", problem=Problem.SEGMENT_TAKEN), 409, "TunnelIdInUse"),
    (Conflict("no", problem=Problem.NAME_TAKEN), 409, "HTTPConflict"),
    (Conflict("no"), 409, "HTTPConflict"),
    (Exhausted("IP addresses", "on x", problem=Problem.NO_ADDRESS_LEFT), 409, "IpAddressGenerationFailure"),
    (Exhausted("MAC addresses", "of x", problem=Problem.NO_MAC_LEFT), 503, "MacAddressGenerationFailure"),
    (Exhausted("network identifiers", "1 to 2", problem=Problem.NO_SEGMENT_LEFT), 503, "NoNetworkAvailable"),
    (Exhausted("MAC addresses", "said by words alone"), 503, "ResourceExhausted"),
    (Exhausted("patience", "anywhere"), 503, "ResourceExhausted"),
    (QuotaExceeded("port", 5), 409, "OverQuota"),
    (StaleRevision("port", "x", 1, 2), 412, "RevisionNumberConstraintFailed"),
    (Forbidden("no"), 403, "PolicyNotAuthorized"),
    (Unavailable("no"), 503, "ServiceUnavailable"),
    (Refused(404, "no"), 404, "HTTPNotFound"),
    (Refused(405, "no"), 405, "HTTPMethodNotAllowed"),
    (Refused(413, "no"), 413, "HTTPRequestEntityTooLarge"),
    (Refused(414, "no"), 414, "HTTPRequestURITooLong"),
    (Refused(415, "no"), 415, "HTTPUnsupportedMediaType"),
    (Refused(431, "no"), 431, "HTTPRequestHeaderFieldsTooLarge"),
    (bad_request("no"), 400, "HTTPBadRequest"),
]


@pytest.mark.parametrize(("error", "status", "name"), ROWS, ids=lambda value: str(value)[:40])
def test_each_error_has_its_status_and_type(error: AlcorError, status: int, name: str) -> None:
    """Each error becomes the status and type that clients match on, in the body of the API."""
    failure = failure_of(error, realm=REALM)

    assert (failure.status, failure.type) == (status, name)
    body = failure.body["NeutronError"]
    assert body["type"] == name
    assert body["message"]
    assert body["detail"] == ""
    assert name in ERROR_TYPES or name.endswith(("NotFound", "InUse"))


@pytest.mark.parametrize("problem", [problem for problem in Problem if problem is not Problem.GENERIC])
def test_no_problem_is_without_an_answer(problem: Problem) -> None:
    """Whatever rule speaks, there is a status and a type for it."""
    assert failure_of(Conflict("no", problem=problem), realm=REALM).status in (400, 403, 404, 409, 413, 503)


def test_no_class_is_without_an_answer() -> None:
    """Every error of the model is in the table above; a new one without an answer fails here."""
    classes = {
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, AlcorError) and one is not AlcorError
    }
    tested = {type(error) for error, _, _ in ROWS} | {Unauthenticated}

    assert classes <= tested


def test_an_error_without_an_answer_is_a_bug() -> None:
    """A class the table does not know is not guessed: it surfaces as an internal error."""

    class Novel(AlcorError):
        pass

    with pytest.raises(TypeError, match="no answer is declared for Novel"):
        failure_of(Novel("?"), realm=REALM)


def test_unauthenticated_has_the_identity_services_body() -> None:
    """A 401 is no NeutronError: it names the realm and says what is wrong."""
    failure = failure_of(Unauthenticated("The request has no token."), realm=REALM)

    assert failure.status == 401
    assert failure.headers == {"WWW-Authenticate": f'Keystone uri="{REALM}"'}
    assert failure.body == {
        "error": {"code": 401, "title": "Unauthorized", "message": "The request has no token."}
    }


def test_unavailable_says_when_to_try_again_and_nothing_of_ours() -> None:
    """A 503 of the region has Retry-After; its cause, which may name files, is for the log only."""
    failure = failure_of(Unavailable("/secret/path is full", retry_after_s=7), realm=REALM)

    assert failure.headers == {"Retry-After": "7"}
    assert "7 s" in failure.body["NeutronError"]["message"]
    assert "/secret/path" not in failure.body["NeutronError"]["message"]


def test_a_client_is_not_told_to_repeat_what_may_have_been_done() -> None:
    """If nobody can tell whether a request was kept, its client is told to look, not to send it again."""
    failure = failure_of(Unavailable("the connection was lost during COMMIT", undone=False), realm=REALM)

    assert (failure.status, failure.type, failure.headers) == (503, "ServiceUnavailable", {})
    assert "Look before sending it again" in failure.body["NeutronError"]["message"]


def test_an_input_error_names_the_attribute_as_the_reference_does() -> None:
    """The sentence is "Invalid input for <attribute>. Reason: <reason>." with one full stop."""
    for reason in ("no", "no."):
        failure = failure_of(InvalidInput(reason, attribute="mtu"), realm=REALM)
        assert failure.body["NeutronError"]["message"] == "Invalid input for mtu. Reason: no."


def test_an_item_of_a_bulk_keeps_its_error() -> None:
    """The error of an item has its own status and type; the detail says which item."""
    failure = failure_of(InItem("ports[3]", NotFound("network", "x")), realm=REALM)

    assert failure.status == 404
    assert failure.body["NeutronError"] == {
        "type": "NetworkNotFound",
        "message": "Network x could not be found.",
        "detail": "ports[3]",
    }


def test_a_long_message_keeps_both_ends() -> None:
    """What is cut is the middle: the reason at the end stays readable."""
    failure = failure_of(InvalidInput("x" * 10_000 + " is too long", attribute="name"), realm=REALM)

    message = failure.body["NeutronError"]["message"]
    assert len(message) < 2_010
    assert message.startswith("Invalid input for name.")
    assert message.endswith("is too long.")


def test_an_internal_error_tells_the_id_only() -> None:
    """A 500 has the request's id, to be looked up in the log."""
    failure = internal_error("req-1")

    assert failure.status == 500
    assert "req-1" in failure.body["NeutronError"]["message"]


def test_the_reference_page_has_every_type() -> None:
    """The generated page names every type there is, with its status."""
    page = reference()

    assert all(f"`{name}`" in page for name in ERROR_TYPES)
    assert "| 409 | `IpAddressAlreadyAllocated` | address taken |" in page
