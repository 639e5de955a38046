"""The Security Group Manager's endpoints, and the extensions that are there because of them."""

from alcor.managers.interface import Manager, Service
from alcor.managers.security_group import address_group, default, group, log, rule, template
from alcor.model.address_group import ADDRESS_GROUP
from alcor.model.default_security_group_rule import DEFAULT_SECURITY_GROUP_RULE
from alcor.model.extension import Extension
from alcor.model.security_group import SECURITY_GROUP
from alcor.model.security_group_rule import SECURITY_GROUP_RULE

_SERVICE = "security-group"

_GROUPS = (
    Extension(
        "security-group",
        "security-group",
        "Ports are in groups, whose rules say which packets reach and leave them.",
        "2012-10-05T10:00:00-00:00",
    ),
    Extension(
        "stateful-security-group",
        "Stateful security group",
        "Whether a group lets answers through that no rule of it names.",
        "2019-11-26T09:00:00-00:00",
    ),
    Extension(
        "rbac-security-groups",
        "Add security_group type to network RBAC",
        "A security group can be opened to other projects.",
        "2019-02-14T00:00:00-00:00",
    ),
    Extension(
        "security-groups-shared-filtering",
        "Security group filtering on the shared field",
        "Lists of security groups can be narrowed to those that are shared, or to the others.",
        "2021-10-05T09:00:00-00:00",
    ),
)
_RULES = (
    Extension(
        "security-groups-normalized-cidr",
        "Normalized CIDR field for security group rules",
        "A rule shows its remote prefix without host bits.",
        "2020-07-28T10:00:00-00:00",
    ),
    Extension(
        "security-groups-remote-address-group",
        "Remote address group id field for security group rules",
        "The other end of a rule may be an address group.",
        "2020-08-25T10:00:00-00:00",
    ),
    Extension(
        "security-groups-rules-belongs-to-default-sg",
        "Security group rule belongs to the project's default security group",
        "A rule shows whether its group is the project's default one.",
        "2023-05-23T10:00:00-00:00",
    ),
)
_TEMPLATE = (
    Extension(
        "security-groups-default-rules",
        "Default rules for security groups",
        "Administrators choose the rules that new security groups begin with.",
        "2022-12-19T10:00:00-00:00",
    ),
)
_ADDRESSES = (
    Extension(
        "address-group",
        "Address group",
        "Lists of prefixes that rules of security groups name as one.",
        "2020-07-15T10:00:00-00:00",
    ),
    Extension(
        "rbac-address-group",
        "Add address_group type to RBAC",
        "An address group can be opened to other projects.",
        "2021-01-20T00:00:00-00:00",
    ),
)


def family() -> tuple[Manager | Service, ...]:
    """Security groups, their rules, the template, address groups, logs."""
    return (
        Manager(
            SECURITY_GROUP,
            _SERVICE,
            create=group.create_groups,
            update=group.update_group,
            delete=group.delete_group,
            computed={"security_group_rules": group.load_rules},
            before_list=default.before_list,
            extensions=_GROUPS,
        ),
        Manager(
            SECURITY_GROUP_RULE,
            _SERVICE,
            create=rule.create_rules,
            delete=rule.delete_rule,
            computed={"belongs_to_default_sg": rule.load_belongs},
            sight=rule.sight,
            before_list=default.before_list,
            extensions=_RULES,
        ),
        Manager(
            DEFAULT_SECURITY_GROUP_RULE,
            _SERVICE,
            create=template.create_templates,
            delete=template.delete_template,
            before_list=template.before_list,
            extensions=_TEMPLATE,
        ),
        Manager(
            ADDRESS_GROUP,
            _SERVICE,
            create=address_group.create_address_groups,
            update=address_group.update_address_group,
            delete=address_group.delete_address_group,
            actions={
                "add_addresses": address_group.add_addresses,
                "remove_addresses": address_group.remove_addresses,
            },
            extensions=_ADDRESSES,
        ),
        *log.managers(),
    )
