"""Metering: labels under which a router's traffic is counted, and the rules that say which packets those are."""

from dataclasses import replace

from alcor.model.resource import REQUIRED, Attribute, Entity, Resource, Who
from alcor.model.standard import DESCRIPTION, ID, NAME, PROJECT_ID
from alcor.model.value import CIDR, Boolean, Choice, Nullable, Uuid


class MeteringLabel(Entity, frozen=True, kw_only=True, gc=False):
    """What is counted together. `shared`: for the routers of all projects, not only the label's."""

    shared: bool = False


class MeteringLabelRule(Entity, frozen=True, kw_only=True, gc=False):
    """Packets of a direction and prefix, counted under a label, or left out of it (`excluded`)."""

    metering_label_id: str
    direction: str
    excluded: bool = False
    remote_ip_prefix: str | None = None
    source_ip_prefix: str | None = None
    destination_ip_prefix: str | None = None


_MANAGERS = {
    "create": "rule:admin_or_project_manager",
    "delete": "rule:admin_or_project_manager",
}

METERING_LABEL = Resource(
    name="metering_label",
    collection="metering-labels",
    prefix="/v2.0/metering",
    entity=MeteringLabel,
    text="A name under which traffic of routers is counted.",
    columns_shown=("id", "name", "shared"),
    policy={**_MANAGERS, "get": "rule:admin_or_project_reader"},
    attributes=(
        ID,
        replace(NAME, update=Who.NOBODY),
        PROJECT_ID,
        replace(DESCRIPTION, update=Who.NOBODY),
        Attribute(
            "shared",
            Boolean(),
            default=False,
            update=Who.NOBODY,
            column=True,
            text="Whether it counts for the routers of all projects.",
        ),
    ),
)

_PREFIX = Nullable(CIDR)

METERING_LABEL_RULE = Resource(
    name="metering_label_rule",
    collection="metering-label-rules",
    prefix="/v2.0/metering",
    entity=MeteringLabelRule,
    text="Which packets are counted under a label.",
    columns_shown=("id", "direction", "remote_ip_prefix", "excluded"),
    policy=_MANAGERS,
    attributes=(
        ID,
        replace(PROJECT_ID, see=Who.NOBODY),
        Attribute(
            "metering_label_id",
            Uuid(),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            refers="metering_label",
            text="The label.",
        ),
        Attribute(
            "direction",
            Choice(("ingress", "egress")),
            default=REQUIRED,
            update=Who.NOBODY,
            text="Seen from the router's inner side.",
        ),
        Attribute(
            "excluded",
            Boolean(),
            default=False,
            update=Who.NOBODY,
            text="Whether they are left out of what other rules of the label count.",
        ),
        Attribute(
            "remote_ip_prefix",
            _PREFIX,
            default=None,
            update=Who.NOBODY,
            text="The prefix of the inner addresses; the two others say it more clearly.",
        ),
        Attribute(
            "source_ip_prefix", _PREFIX, default=None, update=Who.NOBODY, text="The prefix of sources."
        ),
        Attribute(
            "destination_ip_prefix",
            _PREFIX,
            default=None,
            update=Who.NOBODY,
            text="The prefix of destinations.",
        ),
    ),
)
