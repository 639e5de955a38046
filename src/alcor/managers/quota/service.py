"""`/v2.0/quotas`: limits of projects, what is used of them, and the region's defaults."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from alcor.managers.interface import Ask, Route, Service
from alcor.managers.quota.limit import Limits, find_own
from alcor.model.catalogue import RESOURCES
from alcor.model.change import Origin
from alcor.model.errors import InvalidInput, Problem
from alcor.model.extension import Extension
from alcor.model.quota import UNLIMITED, Quota
from alcor.model.resource import Entity
from alcor.model.value import Boolean, Integer
from alcor.store.interface import Store, Transaction

_PATH = "/v2.0/quotas"
_ONE = f"{_PATH}/{{project_id}}"
_LIMIT = Integer(UNLIMITED, 2**31 - 1)
_SWITCHES = ("check_limit", "force")
_READ, _WRITE = "rule:admin_or_project_reader", "rule:admin_only"

EXTENSIONS = (
    Extension(
        "quotas",
        "Quota management support",
        "Limits per project: /v2.0/quotas.",
        "2012-07-29T10:00:00-00:00",
    ),
    Extension(
        "quota_details",
        "Quota details management support",
        "What a project has used of each limit: /v2.0/quotas/<project>/details.json.",
        "2017-02-10T10:00:00-00:00",
    ),
    Extension(
        "quota-check-limit",
        "Quota engine limit check",
        "A limit is not lowered below what is used.",
        "2021-10-06T16:00:00-00:00",
    ),
    Extension(
        "quota-check-limit-default",
        "Quota engine limit check by default",
        "A limit is not lowered below what is used unless `force` says so.",
        "2024-08-21T16:00:00-00:00",
    ),
)


def service(limits: Limits) -> Service:
    """The paths of the Quota Manager."""
    answers = _Answers(limits)
    values = {"type": "object", "additionalProperties": {"type": "integer", "minimum": UNLIMITED}}
    shown = {"type": "object", "properties": {"quota": values}, "required": ["quota"]}
    changes = {"type": "object", "properties": {"quota": {"type": "object"}}, "required": ["quota"]}
    return Service(
        "quota",
        (
            Route("GET", _PATH, answers.list_own, "get_quotas", _WRITE, "Projects with limits of their own"),
            Route("GET", f"{_PATH}/tenant", answers.tenant, "get_own_project", "", "The token's project"),
            Route("GET", f"{_PATH}/project", answers.project, "get_own_project", "", "The token's project"),
            Route("GET", _ONE, answers.show, "get_quota", _READ, "A project's limits", schema=shown),
            Route(
                "PUT",
                _ONE,
                answers.update,
                "update_quota",
                _WRITE,
                "Change a project's limits",
                schema=shown,
                body_schema=changes,
            ),
            Route(
                "DELETE",
                _ONE,
                answers.delete,
                "delete_quota",
                _WRITE,
                "Back to the region's limits",
                status=204,
            ),
            Route(
                "GET",
                f"{_ONE}/default",
                answers.default,
                "get_quota",
                _READ,
                "The region's limits",
                schema=shown,
            ),
            Route(
                "GET", f"{_ONE}/details.json", answers.details, "get_quota", _READ, "Limits and what is used"
            ),
            Route("GET", f"{_ONE}/details", answers.details, "get_quota", _READ, "Limits and what is used"),
        ),
        EXTENSIONS,
    )


class _Answers:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._entities: Mapping[str, type[Entity]] = {one.quota: one.entity for one in RESOURCES if one.quota}

    async def list_own(self, store: Store, _ask: Ask) -> dict[str, Any]:
        """Every project whose limits differ from the region's."""
        rows = await store.reader.list(Quota)
        return {
            "quotas": [
                self._limits.merged(row) | {"project_id": row.project_id, "tenant_id": row.project_id}
                for row in rows
            ]
        }

    async def tenant(self, _store: Store, ask: Ask) -> dict[str, Any]:
        """The project of the token, under the old name."""
        return {"tenant": {"tenant_id": _own_project(ask)}}

    async def project(self, _store: Store, ask: Ask) -> dict[str, Any]:
        """The project of the token."""
        return {"project": {"project_id": _own_project(ask)}}

    async def show(self, store: Store, ask: Ask) -> dict[str, Any]:
        """A project's limits."""
        return {"quota": self._limits.merged(await find_own(store.reader, ask.names["project_id"]))}

    async def default(self, _store: Store, _ask: Ask) -> dict[str, Any]:
        """The region's limits."""
        return {"quota": self._limits.defaults}

    async def details(self, store: Store, ask: Ask) -> dict[str, Any]:
        """Limits and use. Nothing is reserved: a request counts when it is committed, or not at all."""
        project_id = ask.names["project_id"]
        merged = self._limits.merged(await find_own(store.reader, project_id))
        quota = {}
        for name, limit in merged.items():
            used = (await store.reader.tally(self._entities[name], [project_id])).get(project_id, 0)
            quota[name] = {"limit": limit, "used": used, "reserved": 0}
        return {"quota": quota}

    async def update(self, store: Store, ask: Ask) -> dict[str, Any]:
        """Change some limits. Raises: InvalidInput for a name or a number that is none, or below what is used."""
        wanted, force = self._parsed(ask.body)
        project_id = ask.names["project_id"]

        async def work(tx: Transaction) -> dict[str, int]:
            if not force:
                await self._check_use(tx, project_id, wanted)
            row = await find_own(tx, project_id)
            if row is None:
                # Two first changes at once are told apart by the claim; one of them is run again.
                id = tx.new_id()
                await tx.claim("quota", project_id, id)
                row = Quota(id=id, project_id=project_id, limits=wanted)
                tx.insert(row)
            else:
                row = replace(row, limits={**row.limits, **wanted})
                tx.update(row)
            return self._limits.merged(row)

        return {"quota": (await store.write(work, _origin(ask))).value}

    async def delete(self, store: Store, ask: Ask) -> None:
        """Forget a project's own limits. Nothing happens if it has none."""
        project_id = ask.names["project_id"]

        async def work(tx: Transaction) -> None:
            row = await find_own(tx, project_id)
            if row is not None:
                tx.release("quota", project_id)
                tx.delete(row)

        await store.write(work, _origin(ask))

    def _parsed(self, body: Any) -> tuple[dict[str, int], bool]:
        said = body.get("quota") if isinstance(body, dict) else None
        if not isinstance(said, dict):
            raise InvalidInput("Unable to find 'quota' in request body", problem=Problem.UNKNOWN_ATTRIBUTE)
        unknown = sorted(said.keys() - self._entities.keys() - set(_SWITCHES) - {"project_id", "tenant_id"})
        if unknown:
            raise InvalidInput(
                f"Unrecognized attribute(s) '{', '.join(unknown)}': there are {', '.join(sorted(self._entities))}.",
                problem=Problem.UNKNOWN_ATTRIBUTE,
            )
        wanted, force = {}, False
        for name, value in said.items():
            try:
                if name in self._entities:
                    wanted[name] = _LIMIT.parse(value)
                elif name == "force":
                    force = Boolean().parse(value)
            except ValueError as error:
                raise InvalidInput(str(error), attribute=name) from error
        return wanted, force

    async def _check_use(self, tx: Transaction, project_id: str, wanted: Mapping[str, int]) -> None:
        for name, limit in wanted.items():
            used = await tx.tally(self._entities[name], project_id)
            if limit != UNLIMITED and used > limit:
                raise InvalidInput(
                    f"Quota limit {limit} for {name} must be greater than or equal to already used {used}; "
                    "delete some, or send 'force': true.",
                    problem=Problem.UNKNOWN_ATTRIBUTE,
                )


def _own_project(ask: Ask) -> str:
    if not ask.caller.project_id:
        raise InvalidInput("The token is of no project.", problem=Problem.UNKNOWN_ATTRIBUTE)
    return ask.caller.project_id


def _origin(ask: Ask) -> Origin:
    return Origin(ask.caller.request_id, ask.caller.user_id, ask.caller.project_id)
