"""Who may do what, for every resource there is: the cases follow from the declarations, so that none is forgotten.

A project's rows are made by an administrator (`tests.support.owned`); then others try everything with them.
"""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from alcor.api.access import Access
from alcor.api.app import policy_of
from alcor.managers.interface import Caller, Manager, Service
from alcor.managers.registry import managers
from alcor.model.resource import Resource, Who
from alcor.store.interface import Store
from tests.support.api import Api, Json
from tests.support.owned import CALLERS, MANAGERS, OWNER, STRANGER, World, add_callers, key_of

MISSING = "0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee"

CREATABLE = sorted(name for name, one in MANAGERS.items() if one.create is not None)
POLICY = policy_of(managers())


def sees_all(resource: Resource, name: str) -> bool:
    """Whether the rules show a caller every row of a kind: nothing of it is hidden from it then."""
    project_id, roles = CALLERS[name]
    return Access(resource, POLICY).sees_all(Caller(project_id, False, roles=frozenset(roles))) is True


class Person(Api):
    """A caller of the same application as another client's, with a token of its own."""

    def __init__(self, api: Api, token: str) -> None:
        super().__init__(api.client, api.document)
        self._token = token

    async def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return await super().request(method, path, headers={"X-Auth-Token": self._token}, **more)

    async def ask(self, method: str, path: str, body: Any) -> httpx.Response:
        """A request whose answer need not be one that the document describes for it."""
        said = {} if body is None else {"json": body}
        return await self.client.request(method, path, headers={"X-Auth-Token": self._token}, **said)


class Region:
    """The callers of one region, and the rows of two projects."""

    def __init__(self, admin: Api) -> None:
        self.admin = admin
        self.clients = {name: Person(admin, name) for name in CALLERS}
        self.owner = World(admin, OWNER, number=1)
        self.stranger = World(admin, STRANGER, number=2)


@pytest.fixture
async def region(store: Store, api: Api) -> Region:
    await add_callers(store)
    return Region(api)


def requests_about(manager: Manager, collection: str, key: str) -> list[tuple[str, str, Any]]:
    """Everything there is to do with one row: method, path, body."""
    resource = manager.resource
    one = f"{collection}/{key}"
    found: list[tuple[str, str, Any]] = [("GET", one, None), ("GET", f"{one}?as_of=2100-01-01", None)]
    if resource.parent is not None or manager.source is not None:
        found.pop()
    found += [("GET", f"{one}/{child}", None) for child in manager.children]
    found += [("PUT", f"{one}/{action}", {}) for action in manager.actions]
    if resource.is_tagged:
        found += [
            ("GET", f"{one}/tags", None),
            ("PUT", f"{one}/tags", {"tags": ["mine"]}),
            ("POST", f"{one}/tags", {"tags": ["mine"]}),
            ("GET", f"{one}/tags/mine", None),
            ("PUT", f"{one}/tags/mine", None),
            ("DELETE", f"{one}/tags/mine", None),
            ("DELETE", f"{one}/tags", None),
        ]
    if manager.update is not None:
        found.append(("PUT", one, {resource.member_key: {}}))
        found.append(("PUT", collection, {resource.collection_key: [{resource.key: key}]}))
    if manager.delete is not None:
        found.append(("DELETE", collection, {resource.collection_key: [{resource.key: key}]}))
        found.append(("DELETE", one, None))
    return found


@pytest.mark.parametrize("kind", CREATABLE)
async def test_what_is_anothers_is_not_there(region: Region, kind: str) -> None:
    """Who does not see a row finds nothing at its path, in no list, by no filter, as no marker; whatever is tried with
    it is answered 404 as for a row that is not there, and leaves it as it was."""
    manager = MANAGERS[kind]
    resource = manager.resource
    row = await region.owner.need(kind)
    collection, key = await region.owner.path(kind), key_of(resource, row)
    before = await region.admin.shown(f"{collection}/{key}")

    for name in ("stranger", "unscoped", "roleless"):
        if sees_all(resource, name):
            continue
        client = region.clients[name]
        for method, path, body in requests_about(manager, collection, key):
            answer = await client.ask(method, path, body)
            assert answer.status_code == 404, f"{name}: {method} {path}: {answer.status_code} {answer.text}"
        for query in ("", f"?{resource.key}={key}", "?sort_dir=desc&limit=1000"):
            answer = await client.get(f"{collection}{query}")
            listed = answer.json().get(resource.collection_key, [])
            assert key not in [one[resource.key] for one in listed], f"{name}: {query}"
        assert (await client.get(f"{collection}?marker={row.get('id', MISSING)}")).status_code == 404, name
    assert await region.admin.shown(f"{collection}/{key}") == before


@pytest.mark.parametrize("kind", CREATABLE)
async def test_a_reader_changes_nothing(region: Region, kind: str) -> None:
    """A reader of the project that sees a row changes, tags and deletes nothing of it, and makes no other: 403."""
    manager = MANAGERS[kind]
    resource = manager.resource
    row = await region.owner.need(kind)
    collection, key = await region.owner.path(kind), key_of(resource, row)
    reader = region.clients["reader"]
    seen = (await reader.get(f"{collection}/{key}")).status_code

    assert seen in (200, 404)
    for method, path, body in requests_about(manager, collection, key):
        if method == "GET":
            continue
        answer = await reader.ask(method, path, body)
        expected = 403 if seen == 200 else 404
        assert answer.status_code == expected, f"{method} {path}: {answer.status_code} {answer.text}"
    body = {resource.member_key: await region.owner.body(kind)}
    assert (await reader.ask("POST", collection, body)).status_code in (403, 404)
    assert (await region.admin.get(f"{collection}/{key}")).status_code == 200


@pytest.mark.parametrize("kind", CREATABLE)
async def test_hidden_attributes_are_nowhere(region: Region, kind: str) -> None:
    """An attribute for administrators is in no answer to a member: of one row, of a list, of the past, of the history,
    of a change; it is no filter and no sort key."""
    resource = MANAGERS[kind].resource
    hidden = {a.name for a in resource.attributes if a.see is Who.ADMIN}
    hidden -= {"project_id"}
    row = await region.owner.need(kind)
    collection, key = await region.owner.path(kind), key_of(resource, row)
    member = region.clients["manager"]
    if not hidden or (await member.get(f"{collection}/{key}")).status_code != 200:
        return

    fields = "&".join(f"fields={name}" for name in sorted(hidden))
    documents: list[Json] = [
        await member.shown(f"{collection}/{key}"),
        await member.shown(f"{collection}/{key}?{fields}"),
        await member.shown(f"{collection}/{key}?as_of=2100-01-01"),
        *await member.shown(collection),
        *await member.shown(f"{collection}?{fields}"),
    ]
    for method, path, body in (
        ("PUT", f"{collection}/{key}", {resource.member_key: {"name": "new"}}),
        ("PUT", collection, {resource.collection_key: [{"id": row["id"], "name": "newer"}]}),
        ("POST", collection, {resource.member_key: await region.owner.body(kind)}),
    ):
        answer = await member.ask(method, path, body)
        if method == "POST" and resource.kind not in ("network", "port", "router"):
            # What only administrators make, or two of which would overlap.
            continue
        assert answer.status_code in (200, 201), answer.text
        [found] = answer.json().values()
        documents += found if isinstance(found, list) else [found]
    for change in await member.shown("/changes"):
        if change["resource_type"] == resource.kind:
            assert not hidden & set(change["changed"])
            documents += [one for one in (change["before"], change["after"]) if one is not None]
    for document in documents:
        assert not hidden & document.keys()
    for name in sorted(hidden):
        for query in (f"{name}=x", f"sort_key={name}"):
            answer = await member.get(f"{collection}?{query}")
            assert answer.status_code == 400, f"{query}: {answer.text}"


def references() -> list[tuple[str, str, str]]:
    """Every attribute by which a create call names another row: (kind, attribute, kind of what is named)."""
    return [
        (kind, a.name, a.refers)
        for kind in CREATABLE
        for a in MANAGERS[kind].resource.attributes
        if a.refers and a.create is not Who.NOBODY and a.refers in MANAGERS
    ]


@pytest.mark.parametrize(("kind", "attribute", "named"), references())
async def test_nobody_names_what_is_anothers(region: Region, kind: str, attribute: str, named: str) -> None:
    """A create call that names another project's row is refused exactly as if there were no such row."""
    anothers = await region.owner.need(named)
    resource = MANAGERS[kind].resource
    stranger, collection = region.clients["stranger"], await region.stranger.path(kind)
    own = await _body_with_room(region.stranger, kind, attribute)
    if (await stranger.get(f"{resource_path(named)}/{anothers['id']}")).status_code == 200:
        return

    answers = []
    for id in (anothers["id"], MISSING):
        answer = await stranger.ask("POST", collection, {resource.member_key: own | {attribute: id}})
        answers.append((answer.status_code, answer.text.replace(id, "<id>")))

    assert answers[0] == answers[1]
    assert answers[0][0] in (400, 403, 404), answers
    if answers[0][0] != 403:
        mine = (await region.stranger.need(named))["id"]
        body = {resource.member_key: own | {attribute: mine}}
        control = await stranger.ask("POST", collection, body)
        assert (control.status_code, control.text.replace(mine, "<id>")) != answers[0]
    listed = await region.admin.get(f"{collection}?{attribute}={anothers['id']}")
    assert not [
        one for one in listed.json().get(resource.collection_key, ()) if one.get("project_id") == STRANGER
    ]


async def _body_with_room(world: World, kind: str, attribute: str) -> Json:
    """What a create call says beside the attribute: nothing that excludes it, all that it needs."""
    own = await world.body(kind)
    if (kind, attribute) in (("route_table", "network_id"), ("ip", "range_id")):
        del own["subnet_id"]
    if attribute.endswith("_ep_group_id"):
        group = (await world.need("endpoint_group"))["id"]
        own |= {"local_ep_group_id": group, "peer_ep_group_id": group}
        own["vpnservice_id"] = (await world.need("vpnservice"))["id"]
        del own["peer_cidrs"]
    return own


def resource_path(kind: str) -> str:
    resource = MANAGERS[kind].resource
    return f"{resource.prefix}/{resource.collection}"


INSIDE: list[tuple[str, str, str, Callable[[str], Any]]] = [
    ("port", "security_groups", "security_group", lambda it: [it]),
    ("port", "fixed_ips", "subnet", lambda it: [{"subnet_id": it}]),
    ("trunk", "sub_ports", "port", lambda it: [_tagged(it)]),
    ("router", "external_gateway_info", "network", lambda it: {"network_id": it}),
    ("router", "external_gateway_info", "qos_policy", lambda it: {"network_id": it, "qos_policy_id": it}),
    ("log", "resource_id", "security_group", lambda it: it),
    ("log", "target_id", "port", lambda it: it),
    ("firewall_policy", "firewall_rules", "firewall_rule", lambda it: [it]),
    ("firewall_group", "ports", "port", lambda it: [it]),
    ("endpoint_group", "endpoints", "subnet", lambda it: [it]),
    ("rbac_policy", "object_id", "network", lambda it: it),
    ("ip", "network_id", "network", lambda it: it),
    ("port_pair_group", "port_pairs", "port_pair", lambda it: [it]),
    ("port_chain", "port_pair_groups", "port_pair_group", lambda it: [it]),
    ("port_chain", "flow_classifiers", "flow_classifier", lambda it: [it]),
]
"""Attributes that name rows inside of a value, or of several kinds."""


def _tagged(port_id: str) -> Json:
    return {"port_id": port_id, "segmentation_type": "vlan", "segmentation_id": 5}


@pytest.mark.parametrize(
    ("kind", "attribute", "named", "value"), INSIDE, ids=[f"{one[0]}-{one[1]}-{one[2]}" for one in INSIDE]
)
async def test_nobody_names_anothers_inside_a_value(
    region: Region, kind: str, attribute: str, named: str, value: Callable[[str], Any]
) -> None:
    """A list or an object with another project's row in it is refused exactly as if there were no such row, on create
    and on update."""
    anothers = (await region.owner.need(named))["id"]
    resource, stranger = MANAGERS[kind].resource, region.clients["stranger"]
    own, collection = await region.stranger.body(kind), await region.stranger.path(kind)
    if kind == "endpoint_group":
        own["type"] = "subnet"
    if kind == "ip":
        del own["subnet_id"]

    requests = [("POST", collection, own)]
    found = resource.attribute(attribute)
    if found is not None and found.update is not Who.NOBODY:
        row = await region.stranger.need(kind)
        requests.append(("PUT", f"{collection}/{key_of(resource, row)}", {}))
    mine = (await region.stranger.need(named))["id"]
    for method, path, body in requests:
        answers = []
        for id in (anothers, MISSING, mine):
            answer = await stranger.ask(method, path, {resource.member_key: body | {attribute: value(id)}})
            answers.append((answer.status_code, answer.text.replace(id, "<id>")))
        assert answers[0] == answers[1]
        assert answers[0][0] in (400, 403, 404), answers
        # Whose the row is makes the difference, nothing else of the request.
        assert answers[2] != answers[0], answers


ACTIONS: list[tuple[str, str, str, Callable[[str], Any]]] = [
    ("router", "add_router_interface", "subnet", lambda it: {"subnet_id": it}),
    ("router", "add_router_interface", "port", lambda it: {"port_id": it}),
    ("router", "remove_router_interface", "subnet", lambda it: {"subnet_id": it}),
    ("router", "remove_router_interface", "port", lambda it: {"port_id": it}),
    ("router", "add_external_gateways", "network", lambda it: _gateway(it)),
    ("router", "update_external_gateways", "network", lambda it: _gateway(it)),
    ("trunk", "add_subports", "port", lambda it: {"sub_ports": [_tagged(it)]}),
    ("trunk", "remove_subports", "port", lambda it: {"sub_ports": [{"port_id": it}]}),
    ("subnetpool", "onboard_network_subnets", "network", lambda it: {"network_id": it}),
    ("firewall_policy", "insert_rule", "firewall_rule", lambda it: {"firewall_rule_id": it}),
]


def _gateway(network_id: str) -> Json:
    return {"router": {"external_gateways": [{"network_id": network_id}]}}


@pytest.mark.parametrize(
    ("kind", "action", "named", "body"), ACTIONS, ids=[f"{one[1]}-{one[2]}" for one in ACTIONS]
)
async def test_no_action_names_what_is_anothers(
    region: Region, kind: str, action: str, named: str, body: Callable[[str], Any]
) -> None:
    """An action on one's own row that names another project's is refused exactly as if there were no such row."""
    anothers = (await region.owner.need(named))["id"]
    row, collection = await region.stranger.need(kind), await region.stranger.path(kind)

    mine = (await region.stranger.need(named))["id"]
    answers = []
    for id in (anothers, MISSING, mine):
        answer = await region.clients["stranger"].ask("PUT", f"{collection}/{row['id']}/{action}", body(id))
        answers.append((answer.status_code, answer.text.replace(id, "<id>")))

    assert answers[0] == answers[1]
    assert answers[0][0] in (400, 403, 404), answers
    # What is not there to be taken away makes no difference, one's own or not.
    assert answers[2] != answers[0] or action.startswith("remove_"), answers


ROUTES = [
    (route.method, route.path) for one in managers() if isinstance(one, Service) for route in one.routes
]
_NAMED_BY = {"subnet_id": "subnet", "network_id": "network", "port_id": "port", "flavor_id": "flavor"}


@pytest.mark.parametrize(("method", "template"), ROUTES)
async def test_paths_of_their_own_tell_strangers_nothing(region: Region, method: str, template: str) -> None:
    """A path that is no collection answers about another project's row as about one that is not there, and about
    another project nothing at all."""
    answers = []
    for known in (True, False):
        path = template
        for word in re.findall(r"\{(\w+)\}", template):
            value = MISSING
            if known and word == "project_id":
                value = OWNER
            elif known and word == "rule_id":
                value = (await region.owner.need(_rule_kind(template)))["id"]
            elif known and word in _NAMED_BY:
                value = (await region.owner.need(_NAMED_BY[word]))["id"]
            path = path.replace(f"{{{word}}}", value)
        body: Json | None = {} if method in ("POST", "PUT") else None
        answer = await region.clients["stranger"].ask(method, path, body)
        text = re.sub(r"0[0-9a-f]{31}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>", answer.text)
        answers.append((answer.status_code, text))

    if "{" in template and "flavor" not in template:
        assert answers[0] == answers[1]
        assert answers[0][0] in (400, 403, 404), answers
    assert all(status < 500 for status, _ in answers)


def _rule_kind(template: str) -> str:
    """`…/alias-dscp-marking-rules/{rule_id}` → the resource whose rows it shows."""
    noun = template.split("/")[-2].removeprefix("alias-").removesuffix("s").replace("-", "_")
    return f"qos_{noun}"


SHARED = sorted(
    (name, action) for name, one in MANAGERS.items() for action in one.resource.shared_as if one.create
)


@pytest.mark.parametrize(("kind", "action"), SHARED)
async def test_what_is_opened_is_seen_and_not_changed(region: Region, kind: str, action: str) -> None:
    """Whom a row is opened to sees it, finds it in lists and takes it as a marker; changing, tagging, deleting it, or
    opening it further, is refused with 403, and what only administrators see stays hidden. Closed again, it is gone."""
    manager = MANAGERS[kind]
    resource = manager.resource
    row = await region.owner.make(kind)
    said = {"object_type": resource.kind, "object_id": row["id"], "target_tenant": STRANGER, "action": action}
    policy = await region.admin.made("rbac_policy", **said)
    collection, stranger = await region.owner.path(kind), region.clients["stranger"]

    seen = await stranger.shown(f"{collection}/{row['id']}")
    assert seen.get("shared", True) is (action == "access_as_shared")
    assert row["id"] in [one["id"] for one in await stranger.shown(collection)]
    assert (await stranger.get(f"{collection}?marker={row['id']}")).status_code == 200
    assert not {a.name for a in resource.attributes if a.see is Who.ADMIN} & seen.keys()
    for method, path, body in requests_about(manager, collection, row["id"]):
        if method != "GET":
            answer = await stranger.ask(method, path, body)
            assert answer.status_code == 403, f"{method} {path}: {answer.status_code} {answer.text}"
    further = await stranger.ask(
        "POST", "/v2.0/rbac-policies", {"rbac_policy": said | {"target_tenant": "x"}}
    )
    assert further.status_code in (400, 403, 404)
    assert (await stranger.get(f"/v2.0/rbac-policies/{policy['id']}")).status_code == 404
    assert (await region.admin.delete(f"/v2.0/rbac-policies/{policy['id']}")).status_code == 204
    assert (await stranger.get(f"{collection}/{row['id']}")).status_code == 404
