"""Calls that a library makes from our own OpenAPI document: each is answered as the document says.

Every operation gets a fixed number of examples: some that the schemas allow, some that they do not. Paths and
references name rows of a region that has one of everything (`tests/support/world.py`).
"""

from typing import Any

import pytest
from hypothesis import settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError
from schemathesis import GenerationMode

from alcor.store.interface import Store
from tests.support.api import ADMIN_TOKEN, Api
from tests.support.calls import Call, Caller, drawn, example, operations
from tests.support.world import build_world, ids_by_kind

# Parts of the document, each a test with a region of its own: they say where it is wrong, and share out the time.
PARTS = 10
# Examples of an operation that the schemas allow, and as many that they do not: 2, with `--long` 40.
EXAMPLES = max(2, settings().max_examples // 25)
_FIRST = ("get", "post", "put", "delete")


@pytest.fixture
async def world(api: Api) -> Api:
    """A region with something of everything."""
    await build_world(api)
    return api


async def test_the_document_is_valid(api: Api) -> None:
    """The document has no error by the specification of OpenAPI 3.1 and by its dialect of JSON Schema."""
    assert [error.message for error in OpenAPIV31SpecValidator(api.document).iter_errors()] == []
    with pytest.raises(OpenAPIValidationError):
        OpenAPIV31SpecValidator({**api.document, "paths": {"/x": {"get": {"responses": 1}}}}).validate()


@pytest.mark.parametrize("part", range(PARTS))
async def test_every_call_is_answered_as_the_document_says(world: Api, store: Store, part: int) -> None:
    """Status, type, headers and body are the document's; what its schemas forbid is refused; nothing is a fault."""
    chosen = [one for index, one in enumerate(operations(world.document)) if index % PARTS == part]
    admin = Caller(world.client, await ids_by_kind(store), {"X-Auth-Token": ADMIN_TOKEN})
    for operation in sorted(chosen, key=lambda one: _FIRST.index(one.method)):
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            for case in drawn(operation, EXAMPLES, mode):
                await admin.send(case, is_valid=mode is GenerationMode.POSITIVE)

    if admin.wrong:
        pytest.fail("\n\n".join(admin.wrong), pytrace=False)


async def test_what_is_created_is_shown_changed_and_deleted(world: Api, store: Store) -> None:
    """What a create answers is what is shown, also in the list; it can be changed as the document says; it is deleted
    unless it is in use, and then it is not there."""
    known = {(one.path, one.method): one for one in operations(world.document)}
    admin = Caller(world.client, await ids_by_kind(store), {"X-Auth-Token": ADMIN_TOKEN})
    lived: set[str] = set()
    for (path, method), create in known.items():
        one_path = f"{path}/{{id}}"
        if method != "post" or (one_path, "get") not in known or "{" in path:
            continue
        for case in [example(create), *drawn(create, 2 * EXAMPLES, GenerationMode.POSITIVE)]:
            answer = None if case is None else await admin.send(case, is_valid=True)
            if answer is None or answer.status_code != 201 or len(answer.json()) != 1:
                continue
            [made] = answer.json().values()
            if isinstance(made, dict):
                update = known.get((one_path, "put"))
                updates = [] if update is None else drawn(update, EXAMPLES, GenerationMode.POSITIVE)
                await _live(admin, f"{path}/{made['id']}", made, updates)
                lived.add(path)

    if admin.wrong:
        pytest.fail("\n\n".join(admin.wrong), pytrace=False)
    assert len(lived) > 15


async def _live(admin: Caller, path: str, made: dict[str, Any], updates: list[Call]) -> None:
    """The life of a row that was just made."""
    shown = await admin.client.get(path)
    assert shown.status_code == 200, shown.text
    [document] = shown.json().values()
    # A secret is shown once, when it is made.
    assert {name: made[name] for name in document} == document, path
    listed = await admin.client.get(f"{path.rpartition('/')[0]}?id={made['id']}")
    assert [document] in listed.json().values(), path
    for update in updates:
        await admin.send(update, is_valid=True, id=made["id"])
    deleted = await admin.client.delete(path)
    assert deleted.status_code in (204, 405, 409), deleted.text
    assert (await admin.client.get(path)).status_code == (404 if deleted.status_code == 204 else 200)
