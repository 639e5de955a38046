"""Which resource a word on the command line means."""

import pytest
import typer

from alcor.cli.resource import resource_named


@pytest.mark.parametrize("word", ["port", "ports", "security-group", "security_groups", "subnets", "routers"])
def test_a_word_means_the_networking_apis_own_resource(word: str) -> None:
    """Other families have resources of the same name, behind paths of their own."""
    found = resource_named(word)

    assert found.prefix == "/v2.0"
    assert word.replace("-", "_") in (found.name, found.collection.replace("-", "_"))


def test_a_word_that_nothing_has_ends_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """And what there is is said."""
    with pytest.raises(typer.Exit):
        resource_named("prots")

    said = capsys.readouterr().err
    assert "'prots' is not a resource; there are " in said
    named = said.partition("there are ")[2].replace(",", " ").split()
    assert len(named) == len(set(named))
