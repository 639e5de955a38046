"""`/v2.0/flavors`, `/v2.0/service_profiles` and `/v2.0/service-providers`.

Source: Networking API v2.0, "Networking Flavors Framework"; extensions flavors, service-type.
"""

from typing import Any

from msgspec.structs import replace

from alcor.managers.interface import Ask, Caller, Manager, Route, Service, Values
from alcor.managers.plain import plain_manager
from alcor.model.change import Origin
from alcor.model.errors import Conflict, InvalidInput, NotFound, Problem
from alcor.model.extension import Extension
from alcor.model.flavor import FLAVOR, SERVICE_PROFILE, Flavor, ServiceProfile
from alcor.model.service_provider import SERVICE_PROVIDER, ServiceProvider
from alcor.model.value import Uuid
from alcor.store.interface import Store, Transaction

# The one implementation of everything in this region.
_PROVIDER = "alcor"
# What clients of the reference call kinds of routers: each is made of the attributes `distributed` and `ha`, and
# served by the one above, which is both.
_ROUTERS = {"dvrha": True, "dvr": False, "ha": False, "single_node": False}
_ASSOCIATIONS = "/v2.0/flavors/{flavor_id}/service_profiles"
_FLAVORS = Extension(
    "flavors",
    "Neutron Service Flavors",
    "Kinds of a service that users may choose: /v2.0/flavors, /v2.0/service_profiles.",
    "2015-09-17T10:00:00-00:00",
)
_PROVIDERS = Extension(
    "service-type",
    "Neutron Service Type Management",
    "What implements a service: /v2.0/service-providers.",
    "2013-01-20T00:00:00-00:00",
)


def family() -> tuple[Manager | Service, ...]:
    """The managers of this package."""
    return (
        plain_manager(SERVICE_PROFILE, "flavor", check=_check_profile),
        plain_manager(
            FLAVOR,
            "flavor",
            check=_check_flavor,
            children={"next_providers": next_providers},
            extensions=(_FLAVORS,),
        ),
        Manager(SERVICE_PROVIDER, "flavor", source=_load_providers, extensions=(_PROVIDERS,)),
        Service(
            "flavor",
            (
                Route(
                    "POST",
                    _ASSOCIATIONS,
                    associate,
                    "create_flavor_service_profile",
                    "rule:admin_only",
                    "Add a profile to a flavor",
                    status=201,
                    body_schema={"type": "object", "required": ["service_profile"]},
                ),
                Route(
                    "DELETE",
                    f"{_ASSOCIATIONS}/{{profile_id}}",
                    dissociate,
                    "delete_flavor_service_profile",
                    "rule:admin_only",
                    "Take a profile from a flavor",
                    status=204,
                ),
            ),
        ),
    )


async def _load_providers(_store: Store, _caller: Caller) -> list[ServiceProvider]:
    return [
        ServiceProvider(id=f"{name}/L3_ROUTER_NAT", name=name, service_type="L3_ROUTER_NAT", default=default)
        for name, default in _ROUTERS.items()
    ]


async def _check_profile(
    _tx: Transaction, _caller: Caller, row: ServiceProfile | None, values: Values
) -> Values:
    driver = values.get("driver", row.driver if row else "")
    metainfo = values.get("metainfo", row.metainfo if row else "")
    if not (driver or metainfo):
        raise InvalidInput(
            "Service Profile needs either a driver or metainfo.", problem=Problem.SERVICE_PROFILE_EMPTY
        )
    if driver and driver != _PROVIDER:
        raise NotFound("ServiceProfileDriver", driver)
    return values


async def _check_flavor(tx: Transaction, _caller: Caller, _row: Flavor | None, values: Values) -> Values:
    for profile_id in values.get("service_profiles", ()):
        await tx.get(ServiceProfile, profile_id)
    return values


async def next_providers(store: Store, _caller: Caller, row: Flavor) -> dict[str, Any]:
    """What would provide a service of this flavor now. Raises: Conflict if the flavor or its profile is disabled."""
    if not row.enabled:
        raise Conflict(f"Flavor {row.id} is not enabled.", kind="flavor", id=row.id)
    profiles = await store.reader.find_many(ServiceProfile, row.service_profiles)
    enabled = [profiles[id] for id in row.service_profiles if id in profiles and profiles[id].enabled]
    return {
        "next_providers": [
            {"provider": _PROVIDER, "driver": one.driver, "metainfo": one.metainfo} for one in enabled
        ]
    }


async def associate(store: Store, ask: Ask) -> dict[str, Any]:
    """Add a profile to a flavor. Raises: NotFound; Conflict if it is there; InvalidInput for a body that is none."""
    said = ask.body.get("service_profile") if isinstance(ask.body, dict) else None
    if not isinstance(said, dict) or said.keys() != {"id"}:
        raise InvalidInput(
            "the body must be {'service_profile': {'id': …}}.", problem=Problem.UNKNOWN_ATTRIBUTE
        )
    try:
        profile_id: str = Uuid().parse(said["id"])
    except ValueError as error:
        raise InvalidInput(str(error), attribute="id") from error
    flavor_id = ask.names["flavor_id"]

    async def work(tx: Transaction) -> None:
        flavor = await tx.get(Flavor, flavor_id)
        await tx.get(ServiceProfile, profile_id)
        if profile_id in flavor.service_profiles:
            raise Conflict(
                f"Service Profile {profile_id} is already associated with flavor {flavor_id}.",
                problem=Problem.FLAVOR_PROFILE_EXISTS,
            )
        tx.update(replace(flavor, service_profiles=(*flavor.service_profiles, profile_id)))

    await store.write(work, _origin(ask))
    return {"service_profile": {"id": profile_id}}


async def dissociate(store: Store, ask: Ask) -> None:
    """Take a profile from a flavor. Raises: NotFound if it is not there."""
    flavor_id, profile_id = ask.names["flavor_id"], ask.names["profile_id"]

    async def work(tx: Transaction) -> None:
        flavor = await tx.get(Flavor, flavor_id)
        if profile_id not in flavor.service_profiles:
            raise NotFound("FlavorServiceProfileBinding", profile_id)
        kept = tuple(one for one in flavor.service_profiles if one != profile_id)
        tx.update(replace(flavor, service_profiles=kept))

    await store.write(work, _origin(ask))


def _origin(ask: Ask) -> Origin:
    return Origin(ask.caller.request_id, ask.caller.user_id, ask.caller.project_id)
