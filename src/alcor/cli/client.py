"""What the commands that speak to a region share: which region, its answers, tables and JSON."""

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import httpx
import orjson
import typer
from rich.console import Console
from rich.table import Table

TIMEOUT_S = 30.0

EndpointOption = Annotated[
    str | None,
    typer.Option(
        "--endpoint", envvar="ALCOR_ENDPOINT", help="URL of the API; by default the region of --data."
    ),
]
TokenOption = Annotated[
    str | None,
    typer.Option("--token", envvar="ALCOR_TOKEN", help="Token; by default the admin token of --data."),
]
DataOption = Annotated[Path | None, typer.Option("--data", help="Data folder of a region on this machine.")]
Format = Literal["table", "json"]
FormatOption = Annotated[Format, typer.Option("--format", "-f", help="For people, or for programs.")]


@contextmanager
def open_client(endpoint: str | None, token: str | None, data: Path | None) -> Iterator[httpx.Client]:
    """A client of the region: the one named, or the one that runs on this machine.

    A region that is not reached, or breaks off, ends the command with a sentence.
    """
    if endpoint is None or token is None:
        here = _here(data)
        endpoint, token = endpoint or here["endpoint"], token or here["token"]
    base = endpoint.rstrip("/").removesuffix("/v2.0")
    try:
        with httpx.Client(base_url=base, headers={"X-Auth-Token": token}, timeout=TIMEOUT_S) as client:
            yield client
    except (httpx.TransportError, httpx.InvalidURL) as error:
        fail(
            f"the region at {base} {unreached(error)}. Does it run? `alcor up` starts one; --endpoint names another."
        )


def unreached(error: httpx.TransportError | httpx.InvalidURL) -> str:
    """Why there is no answer, to follow the name of who was asked."""
    if isinstance(error, httpx.TimeoutException):
        return f"did not answer within {TIMEOUT_S:g} s"
    return f"cannot be reached: {error}"


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """A command of a region: `command`, with --endpoint, --token and --data in place of its first parameter."""

    @functools.wraps(command)
    def run(endpoint: str | None, token: str | None, data: Path | None, **given: Any) -> None:
        with open_client(endpoint, token, data) as client:
            command(client, **given)

    _, *own = inspect.signature(command).parameters.values()
    region = (("endpoint", EndpointOption), ("token", TokenOption), ("data", DataOption))
    parameters = [
        *own,
        *(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
            for name, kind in region
        ),
    ]
    run.__signature__ = inspect.Signature(parameters, return_annotation=None)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _here(data: Path | None) -> Mapping[str, str]:
    from alcor.runtime.config import RegionConfig

    folder = data or RegionConfig().data.folder
    try:
        endpoint = orjson.loads((folder / "region.json").read_bytes())["endpoint"]
        token = (folder / "admin.token").read_text().strip()
    except (OSError, KeyError, orjson.JSONDecodeError):
        fail(
            f"no region runs with the data folder {folder}, or its token cannot be read. Start one with `alcor up`, "
            "name its folder with --data, or say --endpoint and --token."
        )
    if not endpoint:
        fail(f"the process of the data folder {folder} does not serve the API; say --endpoint and --token")
    return {"endpoint": endpoint, "token": token}


def checked(answer: httpx.Response) -> dict[str, Any]:
    """The body of a success; an error ends the command with the region's own words."""
    if not answer.is_success:
        try:
            error = answer.json()
            message = error.get("NeutronError", error.get("error", {})).get("message", answer.text)
        except ValueError:
            message = answer.text
        fail(f"{message} (HTTP {answer.status_code})")
    try:
        body: dict[str, Any] = answer.json()
    except ValueError:
        fail(f"{answer.url} is not the API of an Alcor region: it does not answer JSON")
    return body


def print_table(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
    """A table for people; one row a line where nobody looks."""
    console = Console(highlight=False)
    # A terminal folds what is too wide; a file or a pipe gets every row on one line.
    table = Table(*columns, highlight=False)
    for row in rows:
        table.add_row(*row)
    if not console.is_terminal:
        console.width = 10_000
    console.print(table, markup=False)


def print_json(value: Any) -> None:
    """Indented, keys sorted."""
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode())


def fail(reason: str) -> NoReturn:
    """End the command with a sentence, exit status 1."""
    print(f"alcor: {reason}", file=sys.stderr)
    raise typer.Exit(1)
