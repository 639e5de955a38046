"""The OpenAPI document and Swagger UI."""

import re
from pathlib import Path
from typing import Any

import pytest

from alcor.api.docs import PACKAGE, Docs, swagger_folder
from alcor.managers.interface import Manager
from alcor.managers.registry import managers
from tests.support.api import Api, check, resolve

METHODS = {"get", "put", "post", "delete"}


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        found = [value["$ref"]] if "$ref" in value else []
        return found + [ref for member in value.values() for ref in _references(member)]
    if isinstance(value, list):
        return [ref for item in value for ref in _references(item)]
    return []


def _operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, item[method])
        for path, item in document["paths"].items()
        for method in METHODS & item.keys()
    ]


async def test_the_document_is_openapi_3_1(api: Api) -> None:
    """The document has what the specification requires: version, title, paths, unique operation ids, path
    parameters declared, responses described, references that resolve."""
    document = api.document

    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert document["info"].keys() >= {"title", "version"}
    ids = [operation["operationId"] for _, _, operation in _operations(document)]
    assert len(ids) == len(set(ids))
    for reference in _references(document):
        assert resolve(document, {"$ref": reference}) is not None
    for path, method, operation in _operations(document):
        declared = [*document["paths"][path].get("parameters", ()), *operation.get("parameters", ())]
        resolved = [resolve(document, parameter) for parameter in declared]
        in_path = {parameter["name"] for parameter in resolved if parameter["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", path)), path
        keys = [(parameter["in"], parameter["name"]) for parameter in resolved]
        assert len(keys) == len(set(keys)), path
        assert all("description" in resolve(document, one) for one in operation["responses"].values()), path
        assert method != "post" or operation["requestBody"]["required"] is True


async def test_every_served_verb_is_documented_and_no_other(api: Api) -> None:
    """The document has exactly the verbs the managers have, and each answers something else than 404 or 405."""
    for manager in managers():
        if not isinstance(manager, Manager) or manager.resource.parent is not None:
            continue
        path = f"{manager.resource.prefix}/{manager.resource.collection}"
        many, one = api.document["paths"][path], api.document["paths"][f"{path}/{{{manager.resource.key}}}"]
        bulk = ({"put"} if manager.update and manager.source is None else set()) | (
            {"delete"} if manager.delete else set()
        )
        assert METHODS & many.keys() == {"get"} | ({"post"} if manager.create else set()) | bulk
        verbs = {"get"} | ({"put"} if manager.update else set()) | ({"delete"} if manager.delete else set())
        assert METHODS & one.keys() == verbs
        for child in manager.children:
            assert "get" in api.document["paths"][f"{path}/{{{manager.resource.key}}}/{child}"]
        for action in manager.actions:
            assert "put" in api.document["paths"][f"{path}/{{{manager.resource.key}}}/{action}"]
        assert (await api.get(path)).status_code == 200


async def test_examples_fit_their_schemas(api: Api) -> None:
    """Every example body is valid by the schema beside it; a wrong one is not, so the check means something."""
    checked = 0
    for path, _, operation in _operations(api.document):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        for name, one in content.get("examples", {}).items():
            check(api.document, one["value"], content["schema"], f"{path} {name}")
            [(key, inside)] = one["value"].items()
            wrong = [{**inside[0], "more": 1}] if isinstance(inside, list) else {**inside, "more": 1}
            with pytest.raises(AssertionError):
                check(api.document, {key: wrong}, content["schema"], path)
            checked += 1
    creating = [one for one in managers() if isinstance(one, Manager) and one.create is not None]
    assert checked == 2 * sum(1 + one.resource.bulk_path for one in creating)


async def test_example_of_a_network_creates_one(api: Api) -> None:
    """The example can be sent as it is: Swagger UI's "Try it out" works."""
    post = api.document["paths"]["/v2.0/networks"]["post"]
    for one in post["requestBody"]["content"]["application/json"]["examples"].values():
        assert (await api.post("/v2.0/networks", one["value"])).status_code == 201


async def test_token_header_is_the_security_scheme(api: Api) -> None:
    """The document says how to authenticate, and where one need not."""
    document = api.document

    assert document["security"] == [{"token": []}]
    scheme = document["components"]["securitySchemes"]["token"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "X-Auth-Token")
    assert document["paths"]["/"]["get"]["security"] == []
    assert "security" not in document["paths"]["/v2.0/networks"]["get"]


async def test_swagger_ui_loads_nothing_from_elsewhere(api: Api) -> None:
    """The page and its start script name no other host; the browser is told to load from this one only."""
    page = await api.get("/docs")

    assert page.status_code == 200
    assert "//" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 4
    for path in loaded:
        assert (await api.get(path)).status_code == 200
    start = (await api.get("/docs/start.js")).text
    assert "//" not in start
    assert "validatorUrl: null" in start
    assert '"/openapi.json"' in start


async def test_swagger_files_are_whole_and_typed(api: Api) -> None:
    """The script and the style sheet come from the installed package with their types."""
    script = await api.get("/docs/swagger-ui-bundle.js")
    style = await api.get("/docs/swagger-ui.css")

    assert "javascript" in script.headers["content-type"]
    assert len(script.content) > 500_000
    assert style.headers["content-type"].startswith("text/css")


@pytest.mark.parametrize(
    "name", ["LICENSE", "..", "%2e%2e%2f%2e%2e%2fapps.py", "swagger-ui.css.map", "nothing"]
)
async def test_no_other_file_is_served(api: Api, name: str) -> None:
    """Only the three files of the page can be asked for; no path reaches the file system."""
    assert (await api.get(f"/docs/{name}")).status_code in (200, 404)
    assert "class" not in (await api.get(f"/docs/{name}")).text


def test_the_package_is_found_without_being_imported() -> None:
    """The files are located by the package's specification; importing it would need Django."""
    import sys

    folder = swagger_folder()

    assert folder is not None
    assert (folder / "swagger-ui-bundle.js").is_file()
    assert not [name for name in sys.modules if name.startswith((PACKAGE, "django"))]


async def test_without_the_package_the_page_says_how_to_get_it() -> None:
    """If the files are missing the page names the package and the command; the document is still served."""
    assert swagger_folder("no_such_package") is None
    endpoints = Docs(lambda: b"{}", None).endpoints()
    call: Any = None
    page = await endpoints["/docs"].handlers["GET"](call)

    assert page.status_code == 503
    assert b"pip install" in bytes(page.body)
    assert PACKAGE.replace("_", "-").encode() in bytes(page.body)
    assert (await endpoints["/openapi.json"].handlers["GET"](call)).status_code == 200


def test_a_package_without_the_files_counts_as_missing() -> None:
    """A package that is there but has no Swagger UI is as good as none."""
    assert swagger_folder("alcor") is None
    assert Path(__file__).is_file()
