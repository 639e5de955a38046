"""The generated pages of docs/reference: `python -m alcor.cli.reference` writes them, `--check` compares.

Each page is a function of declarations in the code, so that it cannot say something else than the code does.
"""

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, get_args, get_type_hints

import msgspec

from alcor.goalstate import bgp_item, item, router_item, scope, security_item
from alcor.model.catalogue import BY_NAME, RESOURCES
from alcor.model.resource import REQUIRED, UNSET, Attribute, Resource, Who
from alcor.runtime.agent_config import AgentConfig
from alcor.runtime.config import RegionConfig
from alcor.runtime.settings import describe
from alcor.telemetry.metrics import REGISTRY

if TYPE_CHECKING:
    from alcor.managers.interface import Manager

FOLDER = Path(__file__).parents[3] / "docs" / "reference"
NOTE = "<!-- Made by bin/docs from {source}; edit that, then run it. -->\n\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return (
        "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        + "\n"
    )


def config_page() -> str:
    """Every setting of region and agent."""
    text = NOTE.format(source="src/alcor/runtime/config.py and agent_config.py")
    text += (
        "# Configuration\n\n"
        "One tree; later wins: built-in defaults, the file (`/etc/alcor/alcor.toml`, or `--config`), the environment "
        "(`ALCOR_<SECTION>__<FIELD>`, such as `ALCOR_API__LISTEN`), flags. A setting that is not known or out of "
        "bounds stops the start with a sentence that names it and where it came from. `[agent]` and `[agent_log]` "
        "may stand in "
        'the same file as the region\'s sections.\n\n```toml\n[api]\nlisten = "127.0.0.1:9696"\n```\n'
    )
    for title, tree in (
        ("The region (`alcor up`, `alcor serve`)", RegionConfig),
        ("A host's agent", AgentConfig),
    ):
        rows = [
            (f"`{name}`", f"`{kind}`", f"`{default}`" if default else "", words)
            for name, kind, default, words in describe(tree)
        ]
        text += f"\n## {title}\n\n" + _table(("setting", "type and bounds", "default", "meaning"), rows)
    # The default folder depends on who asks; the page must not.
    return _without_home(text)


def _without_home(text: str) -> str:
    from alcor.runtime.config import default_data_folder

    return text.replace(str(default_data_folder()), "/var/lib/alcor as root, else ~/.local/share/alcor")


def _settable(attribute: Attribute) -> str:
    words = []
    if attribute.create is not Who.NOBODY:
        words.append("create" + (" (admin)" if attribute.create is Who.ADMIN else ""))
    if attribute.update is not Who.NOBODY:
        words.append("update" + (" (admin)" if attribute.update is Who.ADMIN else ""))
    return ", ".join(words) or "read only"


def _default(attribute: Attribute) -> str:
    if attribute.create is Who.NOBODY:
        return ""
    if attribute.default is REQUIRED:
        return "required"
    if attribute.default is UNSET:
        return "decided"
    return f"`{attribute.default!r}`"


def resources_page() -> str:
    """Every path, resource and attribute of the API."""
    from alcor.managers.interface import Manager, Service
    from alcor.managers.registry import managers

    text = NOTE.format(source="the declarations in src/alcor/model")
    text += (
        "# REST API\n\nThe full description, with schemas and errors, is the OpenAPI 3.1 document a region serves at "
        "`/openapi.json` and shows at `/docs`, offline. Below: what each resource has. *decided*: the manager chooses "
        "if nothing is said. Every collection takes `fields`, `sort_key`, `sort_dir`, `limit`, `marker` and "
        "`page_reverse`; `tenant_id` is another name of `project_id`. Every write takes `wait`, and rows that reach "
        "hosts have `GET <row>/data-plane` (docs/design/api.md, Waiting for hosts).\n"
    )
    parts = managers()
    for part in parts:
        if isinstance(part, Manager):
            text += _resource_section(part)
    rows = [
        (f"`{route.method} {route.path}`", part.service, route.text)
        for part in parts
        if isinstance(part, Service)
        for route in part.routes
    ]
    return text + "\n## Paths of their own\n\n" + _table(("path", "service", "meaning"), rows)


def _resource_section(manager: "Manager") -> str:
    """A resource: its path, verbs and attributes; of a view, the attributes that only it has."""
    resource = manager.resource
    path = _path_of(resource)
    verbs = ["list", "show"]
    verbs += [verb for verb in ("create", "update", "delete") if getattr(manager, verb) is not None]
    text = f"\n## `{path}`\n\n{resource.text} Service: {manager.service}. Verbs: {', '.join(verbs)}."
    if resource.bulk_path:
        text += f" Many at once: `{path}`, `{path}/bulk`."
    one = f"{path}/{{{resource.key}}}"
    also = [f"`GET {one}/{name}`" for name in manager.children]
    also += [f"`PUT {one}/{name}`" for name in manager.actions]
    if also:
        text += f" Also: {', '.join(also)}."
    viewed = next((other for other in RESOURCES if other.name == resource.view_of), None)
    known = set() if viewed is None else {a.name for a in viewed.attributes}
    attributes = [a for a in resource.attributes if a.name not in known]
    if viewed is not None:
        text += f"\n\nThe attributes are those of `{_path_of(viewed)}`{', and:' if attributes else '.'}"
    if not attributes:
        return text + "\n"
    rows = [
        (
            f"`{a.name}`",
            _settable(a),
            _default(a),
            "yes" if a.filters else "",
            "yes" if a.sorts else "",
            a.text,
        )
        for a in attributes
    ]
    head = ("attribute", "settable", "default", "filters", "sorts", "meaning")
    return text + "\n\n" + _table(head, rows)


def _path_of(resource: Resource) -> str:
    if resource.parent is None:
        return f"{resource.prefix}/{resource.collection}"
    above = BY_NAME[resource.parent.resource]
    return f"{_path_of(above)}/{{{above.name}_id}}/{resource.collection}"


def metrics_page() -> str:
    """Every metric."""
    text = NOTE.format(source="src/alcor/telemetry/metrics.py")
    text += "# Metrics\n\nPrometheus text at `/metrics` of the region.\n\n"
    rows = [(f"`{metric.name}`", metric.type, metric.documentation) for metric in REGISTRY.collect()]
    return text + _table(("metric", "type", "meaning"), sorted(rows))


def goal_state_page() -> str:
    """Every scope and every kind of item."""
    text = NOTE.format(source="src/alcor/goalstate/scope.py and *item.py")
    text += "# Goal state\n\n" + _text_of(scope) + "\n\n## Items\n\n" + _text_of(item) + "\n"
    text += "".join(_fields_of(kind.value, type_) for kind, type_ in item.TYPES.items())
    parts = [
        type_
        for module in (item, router_item, security_item, bgp_item)
        for type_ in vars(module).values()
        if isinstance(type_, type)
        and issubclass(type_, msgspec.Struct)
        and type_.__module__ == module.__name__
        and type_ not in item.KINDS
    ]
    text += "\n## Parts of items\n" + "".join(_fields_of(type_.__name__, type_) for type_ in parts)
    return (
        text + "\nOn the wire: `src/alcor/bus/wire.proto`, which says units and encodings field by field.\n"
    )


def _fields_of(name: str, type_: type) -> str:
    rows = [(f"`{name}`", f"`{_type_name(hint)}`") for name, hint in get_type_hints(type_).items()]
    return f"\n### `{name}`\n\n{inspect.cleandoc(type_.__doc__ or '')}\n\n" + _table(("field", "type"), rows)


def _text_of(module: ModuleType) -> str:
    """A module's docstring: Markdown shows what is indented in it as it is written."""
    return inspect.cleandoc(module.__doc__ or "")


def _type_name(hint: object) -> str:
    return (
        hint.__name__
        if isinstance(hint, type) and not get_args(hint)
        else re.sub(r"alcor\.goalstate\.\w*item\.", "", str(hint))
    )


def pages() -> dict[str, Callable[[], str]]:
    """File name → what makes its text."""
    from alcor.api.errors import reference as errors_page
    from alcor.api.policy.reference import reference as policy_page
    from alcor.api.policy.reference import sample as policy_file
    from alcor.pipeline.reference import render_reference as pipeline_page
    from alcor.trace.reference import render_reference as trace_page

    return {
        "config.md": config_page,
        "rest-api.md": resources_page,
        "metrics.md": metrics_page,
        "errors.md": errors_page,
        "goal-state.md": goal_state_page,
        "pipeline.md": pipeline_page,
        "policy.md": policy_page,
        "policy.yaml": policy_file,
        "trace.md": trace_page,
    }


def main() -> int:
    """Write the pages, or with `--check` say which are stale; returns the exit status."""
    parser = argparse.ArgumentParser(prog="bin/docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is stale")
    arguments = parser.parse_args()
    stale = []
    for name, make in pages().items():
        path = FOLDER / name
        text = make()
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if not arguments.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if stale:
        print(f"{'stale' if arguments.check else 'written'}: {', '.join(stale)}")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
