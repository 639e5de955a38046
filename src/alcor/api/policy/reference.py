"""The operator's pages: every rule with its default, as a page and as a file to begin from."""

from collections.abc import Mapping

from alcor.api.policy.defaults import DATA_PLANE, action_name, default_rules
from alcor.api.policy.named import BASE_RULES
from alcor.managers.interface import Manager, Service
from alcor.managers.registry import managers
from alcor.model.catalogue import BY_NAME
from alcor.model.resource import Resource

_SOURCE = "Made by bin/docs from src/alcor/api/policy and the declarations in src/alcor/model; edit those, then run it."

_SYNTAX = """\
A rule says who may. The names and the syntax are those of the reference server's `policy.yaml`; a file named by the
setting `policy.file` replaces the texts of the rules it names, all others stay. The file is read at the start: a rule
that cannot be read, names a rule that is not there, or needs itself stops the start with a sentence that says so.

| check | true if |
| --- | --- |
| `@`, or an empty text | always |
| `!` | never |
| `role:member` | the token has the role; capitals do not matter |
| `rule:owner` | the rule of that name allows it |
| `project_id:%(project_id)s` | the token's project is what the target's attribute says; `tenant_id` is the same |
| `user_id:…`, `user_name:…`, `project_name:…`, `project_domain_id:…` | the same of these |
| `service_roles:service` | the service that passes the request on (`X-Service-Token`) has the role |
| `is_admin:True` | the rule `context_is_admin` allows the caller |
| `'compute:nova':%(device_owner)s` | the target's attribute has this value |
| `field:networks:shared=True` | the target's attribute has this value; a value `~…` is a regular expression |
| `… and …`, `… or …`, `not …`, `( … )` | as in Python |

`%(network:project_id)s`, `%(ext_parent:project_id)s` and `%(security_group:project_id)s` are attributes of what the
target is in. What the target does not have makes a check false. Older files may have lists: those inside are joined by
`and`, the outer one by `or`.

`create_x:attribute` and `update_x:attribute` are asked besides `create_x` and `update_x` where a client names the
attribute (on create: with another value than the default), `get_x:attribute` where it is shown. An attribute without a
rule needs none, and one may be written for any.
"""


def reference() -> str:
    """The page docs/reference/policy.md, in Markdown."""
    text = f"<!-- {_SOURCE} -->\n\n# Policy\n\n{_SYNTAX}\n## Named rules\n\n" + _table(BASE_RULES)
    for part in managers():
        # A view asks the rules of what it shows.
        if isinstance(part, Manager) and not part.resource.view_of:
            text += f"\n## `{_path(part.resource)}`\n\n" + _table(_rules_of(part))
    return text + "\n## Other paths\n\n" + _table(_routes())


def sample() -> str:
    """The file docs/reference/policy.yaml: every rule with its default, commented out."""
    lines = [
        f"# {_SOURCE}",
        "# Every rule with its default. Take the comment sign from those that are to differ, and name the file in",
        "# the setting policy.file; docs/reference/policy.md says what a rule may be.",
        "",
    ]
    rules = dict(BASE_RULES)
    for part in managers():
        rules |= _rules_of(part) if isinstance(part, Manager) else {}
    for name, rule in (rules | _routes()).items():
        lines.append(f'#"{name}": "{rule}"')
    return "\n".join(lines) + "\n"


def _rules_of(manager: Manager) -> dict[str, str]:
    """Without those of verbs that the resource does not have."""
    missing = [
        action_name(verb, manager.resource)
        for verb in ("create", "update", "delete")
        if getattr(manager, verb) is None
    ]
    rules = default_rules([manager.resource])
    return {name: rule for name, rule in rules.items() if name.partition(":")[0] not in missing}


def _path(resource: Resource) -> str:
    if resource.parent is None:
        return f"{resource.prefix}/{resource.collection}"
    above = BY_NAME.get(resource.parent.resource)
    collection = above.collection if above is not None else resource.parent.resource
    return f"{resource.prefix}/{collection}/{{id}}/{resource.collection}"


def _routes() -> dict[str, str]:
    routes = [route for part in managers() if isinstance(part, Service) for route in part.routes]
    return {route.rule: route.default for route in routes} | DATA_PLANE


def _table(rules: Mapping[str, str]) -> str:
    lines = ["| rule | default |", "| --- | --- |"]
    lines += [f"| `{name}` | {f'`{rule}`' if rule else 'everybody'} |" for name, rule in rules.items()]
    return "\n".join(lines) + "\n"
