"""The RBAC Manager: what is opened to whom, and what may no longer be closed."""

import pytest

from alcor.managers.interface import Caller
from alcor.managers.rbac import share
from alcor.managers.rbac.manager import manager
from alcor.managers.sharing import may_use
from alcor.model.errors import Conflict, InvalidInput, Problem
from alcor.model.network import Network
from alcor.model.rbac_policy import AS_EXTERNAL, AS_SHARED, EVERYONE, RBAC_POLICY, RbacPolicy
from alcor.model.resource import Entity
from alcor.store.interface import Transaction
from tests.support.managers import ADMIN, MEMBER, PROJECT, Desk, created_values

FRIEND_ID, ALIEN_ID = "f" * 32, "a" * 32
FRIEND, ALIEN = Caller(FRIEND_ID, is_admin=False), Caller(ALIEN_ID, is_admin=False)


async def _open(desk: Desk, network: Network, target: str, action: str = AS_SHARED) -> RbacPolicy:
    policy: RbacPolicy = await desk.create(
        "rbac_policy", object_type="network", object_id=network.id, target_tenant=target, action=action
    )
    return policy


async def _share(desk: Desk, network: Network, *, shared: bool) -> None:
    await desk.store.write(lambda tx: share.set_shared(tx, desk.caller, network, shared))


async def _policies(desk: Desk) -> list[tuple[str, str, str]]:
    found = await desk.store.reader.list(RbacPolicy)
    return sorted((policy.project_id, policy.action, policy.target_tenant) for policy in found)


async def test_a_policy_opens_an_object_to_the_project_it_names(desk: Desk) -> None:
    """Who is named may use the object; others may not; the policy belongs to who made it."""
    network = await desk.as_caller(MEMBER).create("network")

    policy = await _open(desk.as_caller(MEMBER), network, FRIEND_ID)

    assert (policy.project_id, policy.object_type, policy.target_tenant) == (PROJECT, "network", FRIEND_ID)
    assert await may_use(desk.store.reader, FRIEND, network)
    assert not await may_use(desk.store.reader, ALIEN, network)


@pytest.mark.parametrize("target", ["", "friends", "f" * 31, "f" * 64, "**"])
def test_a_target_is_a_project_or_all(target: str) -> None:
    """What is neither a UUID, with or without hyphens, nor * is no project."""
    with pytest.raises(ValueError, match="is not a valid target project"):
        created_values(RBAC_POLICY, target_tenant=target)


def test_a_target_may_have_hyphens_and_a_kind_capitals() -> None:
    """Identity services write project IDs either way; kinds are read without regard to case."""
    said = created_values(
        RBAC_POLICY, target_tenant="0190aaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", object_type=" Network"
    )

    assert (said["target_tenant"], said["object_type"]) == ("0190aaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", "network")


async def test_only_the_owner_or_an_administrator_opens_an_object(desk: Desk) -> None:
    """A network of another project is refused like one that is not there, even if it is shared with the caller."""
    network = await desk.create("network")
    await _open(desk, network, FRIEND_ID)

    with pytest.raises(InvalidInput, match=f"no network {network.id} of this project"):
        await _open(desk.as_caller(FRIEND), network, ALIEN_ID)
    missing = Network(id="0190aaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee")
    with pytest.raises(InvalidInput, match=f"no network {missing.id} of this project"):
        await _open(desk, missing, FRIEND_ID)


async def test_an_administrator_opens_for_others(desk: Desk) -> None:
    """The policy may be another project's than the object."""
    network = await desk.as_caller(FRIEND).create("network")

    policy = await _open(desk, network, ALIEN_ID)

    assert (policy.project_id, network.project_id) == (PROJECT, FRIEND_ID)


@pytest.mark.parametrize(
    ("kind", "action", "problem", "reason"),
    [
        ("port", AS_SHARED, Problem.GENERIC, "'port' is not a valid RBAC object type"),
        ("toaster", AS_SHARED, Problem.GENERIC, "'toaster' is not a valid RBAC object type"),
        ("network", "access_as_friend", Problem.RBAC_ACTION, "'access_as_friend' does not exist .* network"),
    ],
)
async def test_kinds_and_actions_are_those_there_are(
    desk: Desk, kind: str, action: str, problem: Problem, reason: str
) -> None:
    """A kind that cannot be shared, or an action its kind does not know, is refused."""
    network = await desk.create("network")

    with pytest.raises(InvalidInput, match=reason) as refused:
        await desk.create(
            "rbac_policy", object_type=kind, object_id=network.id, target_tenant="*", action=action
        )

    assert refused.value.problem is problem


async def test_a_policy_is_there_once(desk: Desk) -> None:
    """The same object, action and target a second time is refused, also by an update and within a bulk."""
    network = await desk.create("network")
    await _open(desk, network, FRIEND_ID)
    other = await _open(desk, network, ALIEN_ID)

    for attempt in (_open(desk, network, FRIEND_ID), desk.update(other, target_tenant=FRIEND_ID)):
        with pytest.raises(Conflict, match="exists already") as refused:
            await attempt
        assert refused.value.problem is Problem.RBAC_POLICY_EXISTS
    assert await _policies(desk) == [(PROJECT, AS_SHARED, ALIEN_ID), (PROJECT, AS_SHARED, FRIEND_ID)]


async def test_a_deleted_policy_may_be_made_again(desk: Desk) -> None:
    """Deleting a policy closes the object and frees its place; so does moving it to another target."""
    network = await desk.create("network")
    await desk.delete(await _open(desk, network, FRIEND_ID))
    assert not await may_use(desk.store.reader, FRIEND, network)

    moved = await desk.update(await _open(desk, network, FRIEND_ID), target_tenant=ALIEN_ID)

    assert moved.target_tenant == ALIEN_ID
    await _open(desk, network, FRIEND_ID)
    assert await _policies(desk) == [(PROJECT, AS_SHARED, ALIEN_ID), (PROJECT, AS_SHARED, FRIEND_ID)]


async def test_what_is_used_is_not_taken_away(desk: Desk) -> None:
    """A policy stays, and keeps its target, while the project it names has a port on the network."""
    network = await desk.create("network")
    policy = await _open(desk, network, FRIEND_ID)
    port = await desk.as_caller(FRIEND).create("port", network_id=network.id)

    for attempt in (desk.delete(policy), desk.update(policy, target_tenant=ALIEN_ID)):
        with pytest.raises(Conflict, match=f"{port.id} of project {FRIEND_ID} uses") as refused:
            await attempt
        assert refused.value.problem is Problem.RBAC_POLICY_IN_USE
    await desk.delete(port)
    await desk.delete(policy)
    assert await _policies(desk) == []


async def test_one_of_two_ways_in_may_be_closed(desk: Desk) -> None:
    """Who is named and everybody as well: either policy may go, not both."""
    network = await desk.create("network")
    named, to_all = await _open(desk, network, FRIEND_ID), await _open(desk, network, EVERYONE)
    await desk.as_caller(FRIEND).create("port", network_id=network.id)

    await desk.delete(to_all)
    with pytest.raises(Conflict, match="cannot be removed"):
        await desk.delete(named)
    await desk.update(named, target_tenant=EVERYONE)
    assert await _policies(desk) == [(PROJECT, AS_SHARED, EVERYONE)]


async def test_the_policy_for_all_guards_those_nobody_names(desk: Desk) -> None:
    """It may be moved to the one project that uses the network, and to no other; the owner's ports do not count."""
    network = await desk.create("network")
    to_all = await _open(desk, network, EVERYONE)
    await desk.create("port", network_id=network.id)
    await desk.as_caller(FRIEND).create("port", network_id=network.id)

    with pytest.raises(Conflict, match="cannot be removed"):
        await desk.update(to_all, target_tenant=ALIEN_ID)
    await desk.update(to_all, target_tenant=FRIEND_ID)
    assert await _policies(desk) == [(PROJECT, AS_SHARED, FRIEND_ID)]


async def test_a_policy_for_the_owner_is_nobodys_loss(desk: Desk) -> None:
    """A project may name itself, and take it back while it uses its object."""
    network = await desk.as_caller(FRIEND).create("network")
    policy = await _open(desk.as_caller(FRIEND), network, FRIEND_ID)
    await desk.as_caller(FRIEND).create("port", network_id=network.id)

    await desk.as_caller(FRIEND).delete(policy)
    assert await _policies(desk) == []


async def test_a_policy_of_anothers_object_is_not_changed(desk: Desk) -> None:
    """A project that was given a policy for an object of another does not move it."""
    network = await desk.create("network")
    policy = await desk.create(
        "rbac_policy",
        object_type="network",
        object_id=network.id,
        target_tenant=FRIEND_ID,
        action=AS_SHARED,
        project_id=FRIEND_ID,
    )

    with pytest.raises(Conflict, match="only the owner of the object") as refused:
        await desk.as_caller(FRIEND).update(policy, target_tenant=ALIEN_ID)
    assert refused.value.problem is Problem.RBAC_POLICY_IN_USE


async def test_a_pool_is_opened_to_who_may_use_its_scope(desk: Desk) -> None:
    """The scope is opened first; then the pool to the same project, and to no other."""
    scope = await desk.create("address_scope", ip_version=4)
    pool = await desk.create("subnetpool", prefixes=["10.0.0.0/8"], address_scope_id=scope.id)

    async def open_to(kind: str, row: Entity, target: str) -> None:
        await desk.create(
            "rbac_policy", object_type=kind, object_id=row.id, target_tenant=target, action=AS_SHARED
        )

    with pytest.raises(InvalidInput, match="open the scope first"):
        await open_to("subnetpool", pool, FRIEND_ID)
    await open_to("address_scope", scope, FRIEND_ID)
    await open_to("subnetpool", pool, FRIEND_ID)
    with pytest.raises(InvalidInput, match="open the scope first"):
        await open_to("subnetpool", pool, ALIEN_ID)


async def test_the_default_external_network_is_open_to_everyone(desk: Desk) -> None:
    """Its policy for all stays as long as it is the default one."""
    network = await desk.create("network", router_external=True, is_default=True)
    [policy] = await desk.store.reader.list(RbacPolicy)

    with pytest.raises(Conflict, match="is open to everyone") as refused:
        await desk.delete(policy)
    assert refused.value.problem is Problem.RBAC_POLICY_IN_USE
    await desk.update(network, is_default=False)
    await desk.delete(policy)
    assert await _policies(desk) == []


async def test_what_a_gateway_uses_stays_external(desk: Desk) -> None:
    """A policy stays while a router of the project it names has its gateway on the network."""
    network = await desk.create("network", router_external=True)
    await desk.create("subnet", network_id=network.id, cidr="203.0.113.0/24", ip_version=4)
    [to_all] = await desk.store.reader.list(RbacPolicy)
    named = await _open(desk, network, FRIEND_ID, AS_EXTERNAL)
    router = await desk.as_caller(FRIEND).create("router", external_gateway_info={"network_id": network.id})

    await desk.delete(to_all)
    with pytest.raises(Conflict, match=router.id) as refused:
        await desk.delete(named)
    assert refused.value.problem is Problem.RBAC_POLICY_IN_USE
    to_all = await _open(desk, network, EVERYONE, AS_EXTERNAL)
    await desk.delete(named)
    with pytest.raises(Conflict, match=router.id):
        await desk.delete(to_all)


async def test_who_may_use_a_network_is_a_part_of_it(desk: Desk) -> None:
    """Making, moving and deleting a policy each add 1 to the network's revision_number; saying the same adds none."""
    network = await desk.create("network")
    revisions = []

    async def note() -> None:
        found = await desk.store.reader.find(Network, network.id)
        assert found is not None
        revisions.append(found.revision_number - network.revision_number)

    policy = await _open(desk, network, FRIEND_ID)
    await note()
    await desk.update(policy, target_tenant=FRIEND_ID)
    await note()
    await desk.update(policy, target_tenant=ALIEN_ID)
    await note()
    await desk.delete(policy)
    await note()

    assert revisions == [1, 1, 2, 3]


async def test_shared_is_a_policy_for_all(desk: Desk) -> None:
    """`shared` makes one policy of the owner's, however often it is said, and takes it away again."""
    network = await desk.as_caller(FRIEND).create("network")

    await _share(desk, network, shared=True)
    await _share(desk, network, shared=True)
    assert await _policies(desk) == [(FRIEND_ID, AS_SHARED, EVERYONE)]
    assert await may_use(desk.store.reader, ALIEN, network)
    await _share(desk, network, shared=False)
    await _share(desk, network, shared=False)
    assert await _policies(desk) == []


async def test_what_others_use_stays_shared(desk: Desk) -> None:
    """`shared: false` is refused while a project that nothing else lets in has a port there."""
    network = await desk.create("network")
    await _share(desk, network, shared=True)
    await desk.as_caller(FRIEND).create("port", network_id=network.id)

    with pytest.raises(Conflict, match=f"of project {FRIEND_ID} uses it") as refused:
        await _share(desk, network, shared=False)
    assert refused.value.problem is Problem.SHARED_IN_USE
    await _open(desk, network, FRIEND_ID)
    await _share(desk, network, shared=False)
    assert await _policies(desk) == [(PROJECT, AS_SHARED, FRIEND_ID)]


async def test_external_is_a_policy_of_its_own(desk: Desk) -> None:
    """`router:external` opens to all as external; taking it back removes every such policy and no other."""
    network = await desk.create("network")
    await desk.store.write(lambda tx: share.set_external(tx, ADMIN, network, True))
    await _open(desk, network, FRIEND_ID, AS_EXTERNAL)
    await _open(desk, network, FRIEND_ID, AS_SHARED)
    assert await _policies(desk) == [
        (PROJECT, AS_EXTERNAL, EVERYONE),
        (PROJECT, AS_EXTERNAL, FRIEND_ID),
        (PROJECT, AS_SHARED, FRIEND_ID),
    ]

    await desk.store.write(lambda tx: share.set_external(tx, ADMIN, network, False))

    assert await _policies(desk) == [(PROJECT, AS_SHARED, FRIEND_ID)]


async def test_policies_go_with_their_object(desk: Desk) -> None:
    """`forget` removes every policy of a row, and its places are free."""
    network = await desk.create("network")
    await _share(desk, network, shared=True)
    await _open(desk, network, FRIEND_ID)

    await desk.store.write(lambda tx: share.forget(tx, network))

    assert await _policies(desk) == []
    await _share(desk, network, shared=True)


async def test_the_first_and_the_last_policy_of_an_action_are_told(desk: Desk) -> None:
    """Who must know hears of the first policy that opens a row, and of the last one that goes; of none between."""
    heard: list[bool] = []

    async def reaction(tx: Transaction, row: Network, opened: bool) -> None:
        heard.append(opened)

    rbac = manager({("network", AS_EXTERNAL): reaction})
    assert rbac.create is not None
    assert rbac.delete is not None
    create, delete = rbac.create, rbac.delete
    network = await desk.create("network")
    said = [
        created_values(
            RBAC_POLICY,
            object_type="network",
            object_id=network.id,
            target_tenant=target,
            action=action,
        )
        for target, action in ((EVERYONE, AS_EXTERNAL), (FRIEND_ID, AS_EXTERNAL), (EVERYONE, AS_SHARED))
    ]

    made = (await desk.store.write(lambda tx: create(tx, ADMIN, said))).value
    assert heard == [True]

    async def delete_two(tx: Transaction) -> None:
        for one in made[:2]:
            await delete(tx, ADMIN, one.row)

    await desk.store.write(delete_two)

    assert heard == [True, False]
