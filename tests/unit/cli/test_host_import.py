"""An inventory file compared with a region's hosts, without a region."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from alcor.cli.host_import import apply, plan, read_file
from alcor.model.errors import InvalidInput

YAML = """
hosts:
  - {name: n1, vtep_addresses: [192.0.2.1], cluster: c1}
  - {name: n2, vtep_addresses: [192.0.2.2], gateway: true}
  - {name: n3, vtep_addresses: [192.0.2.3]}
"""


def present(name: str, vtep: str, **said: Any) -> dict[str, Any]:
    """A host as the region shows it."""
    return {
        "id": f"id-{name}",
        "name": name,
        "vtep_addresses": [vtep],
        "cluster": "",
        "gateway": False,
    } | said


def a_file(folder: Path, text: str, name: str = "hosts.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_only_what_differs_is_changed(tmp_path: Path) -> None:
    """New hosts are added, changed attributes that the file names are changed, the rest is left alone."""
    there = [present("n1", "192.0.2.1", cluster="c1"), present("n2", "192.0.2.2"), present("n9", "192.0.2.9")]

    made = plan(read_file(a_file(tmp_path, YAML)), there)

    assert made.errors == []
    assert [one["name"] for one in made.added] == ["n3"]
    assert made.changed == {"id-n2": {"gateway": True}}
    assert made.same == ["n1"]


def test_a_second_import_does_nothing(tmp_path: Path) -> None:
    """What an import added is as the file says."""
    rows = read_file(a_file(tmp_path, YAML))
    there = [{"id": one["name"], "cluster": "", "gateway": False} | one for one in plan(rows, []).added]

    made = plan(rows, there)

    assert (made.added, made.changed) == ([], {})
    assert made.same == ["n1", "n2", "n3"]


def test_every_wrong_row_is_told_at_once(tmp_path: Path) -> None:
    """Each by its place: an unknown attribute, a name twice, an address of a host in the file or in the region."""
    lines = (
        "n1,192.0.2.1,",
        "n1,192.0.2.4,",
        "n2,192.0.2.1,",
        "n3,192.0.2.9,",
        "n4,nowhere,",
        "n5,192.0.2.5,red",
    )
    text = "\n".join(("name,vtep_addresses,colour", *lines))

    made = plan(read_file(a_file(tmp_path, text, "hosts.csv")), [present("n9", "192.0.2.9")])

    assert [error.split(":")[0] for error in made.errors] == [
        "line 3",
        "line 4",
        "line 5",
        "line 6",
        "line 7",
    ]
    assert "host 'n1' is in line 2 already" in made.errors[0]
    assert "192.0.2.1 belongs to host 'n1'" in made.errors[1]
    assert "192.0.2.9 belongs to host 'n9'" in made.errors[2]
    assert [one["name"] for one in made.added] == ["n1"]


def test_thousands_of_hosts_are_compared(tmp_path: Path) -> None:
    """A file of the largest size is planned in one pass."""
    lines = [f"n{number},10.{number // 250}.{number % 250}.1" for number in range(10_000)]

    made = plan(read_file(a_file(tmp_path, "\n".join(["name,vtep_addresses", *lines]), "hosts.csv")), [])

    assert (len(made.added), made.errors) == (10_000, [])


def test_what_is_no_inventory_says_so(tmp_path: Path) -> None:
    """The ending says how a file is read."""
    with pytest.raises(InvalidInput, match=r"other endings are \.yaml and \.csv"):
        read_file(a_file(tmp_path, YAML, "hosts.txt"))


def test_an_import_that_breaks_off_keeps_what_it_was_told(tmp_path: Path) -> None:
    """Tokens of the parts that were done are kept, what was not tried is said, and nothing is raised."""
    lines = [f"n{number},10.{number // 250}.{number % 250}.1" for number in range(1_200)]
    made = plan(read_file(a_file(tmp_path, "\n".join(["name,vtep_addresses", *lines]), "hosts.csv")), [])
    kept: dict[str, str] = {}
    parts: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if parts:
            raise httpx.ReadError("the connection broke", request=request)
        hosts = json.loads(request.content)["hosts"]
        return httpx.Response(201, json={"hosts": [one | {"token": f"t-{one['name']}"} for one in hosts]})

    with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://region") as client:
        failed = apply(client, made, lambda done, _total: parts.append(done), kept.update)

    assert parts == [500]
    assert kept == {f"n{number}": f"t-n{number}" for number in range(500)}
    assert failed == ["the region cannot be reached: the connection broke; the rest was not tried"]
