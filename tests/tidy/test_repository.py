"""Rules about the repository itself."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BANNED_NAMES = {"utils", "util", "common", "helpers", "helper", "base", "misc", "impl", "v2"}
BANNED_SUFFIXES = ("Impl", "Helper", "Base")
SOURCE_LINES_MAX, TEST_LINES_MAX, FUNCTION_LINES_MAX = 600, 1000, 70


def tracked(*patterns: str) -> list[Path]:
    """Files git tracks, or would: what is ignored does not count."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


PYTHON = tracked("*.py")


def test_there_is_something_to_check() -> None:
    """The rules below see the repository's files."""
    assert len(PYTHON) > 50


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_holds_one_idea(path: Path) -> None:
    """A source file stays under 600 lines, a test file under 1,000, a function of the product under 70."""
    text = path.read_text()
    is_test = "tests" in path.relative_to(ROOT).parts

    assert text.count("\n") <= (TEST_LINES_MAX if is_test else SOURCE_LINES_MAX)
    long = [
        f"{node.name}: {node.end_lineno - node.lineno} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno > FUNCTION_LINES_MAX
    ]
    assert is_test or long == []


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_say_what_a_thing_is(path: Path) -> None:
    """No file is called utils, common or base, and no class ends in Impl, Helper or Base."""
    classes = [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]

    assert path.stem not in BANNED_NAMES
    assert [name for name in classes if name.endswith(BANNED_SUFFIXES)] == []


@pytest.mark.parametrize(
    "path",
    tracked("src/*.py", "src/**/*.py"),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_module_says_what_it_is(path: Path) -> None:
    """Every module of the product has a docstring."""
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_nothing_is_left_undone() -> None:
    """No unfinished mark is committed."""
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in PYTHON
        if path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if marks.search(line)
    ]

    assert found == []


def test_locks_name_no_registry() -> None:
    """The hashed locks name packages and digests, never the host they came from."""
    for lock in tracked("*.lock"):
        text = lock.read_text()

        assert "--hash=sha256:" in text
        assert "://" not in text
        assert "--index-url" not in text


def test_commands_of_the_readme_exist() -> None:
    """Every bin/… the README names is there and can be executed."""
    named = set(re.findall(r"\bbin/[a-z]+", (ROOT / "README.md").read_text()))

    assert {"bin/demo", "bin/test"} <= named
    for command in named:
        assert (ROOT / command).stat().st_mode & 0o111
