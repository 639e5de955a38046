"""Configuration as one frozen tree: defaults ← TOML file ← environment ← flags.

A tree is a frozen `msgspec.Struct` of sections; a section's fields carry their bounds and a sentence in
`msgspec.Meta`, from which docs/reference/config.md is made. Environment: `ALCOR_<SECTION>__<FIELD>`.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

ENVIRONMENT_PREFIX = "ALCOR_"
CONFIG_FILE = Path("/etc/alcor/alcor.toml")

Tree = TypeVar("Tree", bound=msgspec.Struct)


class ConfigurationError(Exception):
    """A setting that cannot be used; the text names the setting, where it came from and the reason."""


def load(
    tree: type[Tree],
    *,
    file: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, Any],
) -> Tree:
    """Read a configuration tree.

    file:    the file asked for, which must exist; None means `CONFIG_FILE`, if it is there.
    flags:   `section.field` → value; None means that the flag was not given.
    Raises:  ConfigurationError.
    """
    found: dict[str, dict[str, tuple[Any, str]]] = {}
    known = {section.name: section.type for section in msgspec.structs.fields(tree)}
    for name, value in _file_settings(file).items():
        if not isinstance(value, dict):
            raise ConfigurationError(f"{file or CONFIG_FILE}: '{name}' must be a section, written [{name}]")
        for field, setting in value.items():
            found.setdefault(name, {})[field] = (setting, f"{file or CONFIG_FILE}: [{name}] {field}")
    for variable, text in environ.items():
        name, separator, field = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
        # Another tree's section in the environment is not ours to refuse: one file serves region and agent.
        if variable.startswith(ENVIRONMENT_PREFIX) and separator and name in known:
            found.setdefault(name, {})[field] = (text, variable)
    for flag, value in flags.items():
        if value is not None:
            name, _, field = flag.partition(".")
            found.setdefault(name, {})[field] = (value, f"the flag of {flag}")
    sections = {name: _section(type_, found.get(name, {})) for name, type_ in known.items()}
    return tree(**sections)


def _file_settings(file: Path | None) -> dict[str, Any]:
    path = file or CONFIG_FILE
    if file is None and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error


def _section(type_: Any, settings: Mapping[str, tuple[Any, str]]) -> Any:
    fields = {field.name: field for field in msgspec.structs.fields(type_)}
    values = {}
    for name, (value, origin) in settings.items():
        if name not in fields:
            raise ConfigurationError(f"{origin} is not a setting; there are {', '.join(sorted(fields))}")
        field_type = fields[name].type
        try:
            raw = _parts(value) if get_origin(_bare(field_type)) is tuple else value
            raw = str(raw) if isinstance(raw, Path) else raw
            values[name] = msgspec.convert(raw, field_type, strict=False, dec_hook=_decode)
        except msgspec.ValidationError as error:
            raise ConfigurationError(f"{origin} = {value!r}: {error}") from error
    return type_(**values)


def _parts(value: Any) -> Any:
    """What a list holds: a variable is one text, a repeated flag several, and commas part them in both."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        return value
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]


def _bare(type_: Any) -> Any:
    return get_args(type_)[0] if get_origin(type_) is Annotated else type_


def _decode(type_: type, value: Any) -> Any:
    if type_ is Path:
        return Path(str(value)).expanduser()
    raise NotImplementedError(f"no way to read a {type_}")


def describe(tree: type[msgspec.Struct]) -> list[tuple[str, str, str, str]]:
    """Rows of the reference page: (`section.field`, type and bounds, default, sentence)."""
    rows = []
    for section in msgspec.structs.fields(tree):
        hints = get_type_hints(section.type, include_extras=True)
        for field in msgspec.structs.fields(section.type):
            meta = next((m for m in get_args(hints[field.name])[1:] if isinstance(m, msgspec.Meta)), None)
            bare = _bare(hints[field.name])
            words = getattr(bare, "__name__", str(bare)) if not get_args(bare) else str(bare)
            if meta is not None and (meta.ge is not None or meta.le is not None):
                words += (
                    f", {meta.ge if meta.ge is not None else ''} … {meta.le if meta.le is not None else ''}"
                )
            default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
            text = meta.description if meta is not None and meta.description else ""
            rows.append(
                (f"{section.name}.{field.name}", words.replace("pathlib._local.", ""), f"{default}", text)
            )
    return rows
