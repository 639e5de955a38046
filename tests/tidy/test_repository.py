"""Rules about the repository itself."""

import ast
import re
import subprocess
from pathlib import Path

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
TREES = {path: ast.parse(path.read_text()) for path in PYTHON}


def test_there_is_something_to_check() -> None:
    """The rules below see the repository's files."""
    assert len(PYTHON) > 50


def named(path: Path) -> str:
    """The file as people name it."""
    return str(path.relative_to(ROOT))


def is_test(path: Path) -> bool:
    """Whether the file belongs to the tests."""
    return "tests" in path.relative_to(ROOT).parts


def test_a_file_holds_one_idea() -> None:
    """A source file stays under 600 lines, a test file under 1,000, a function of the product under 70."""
    long = [
        named(path)
        for path in PYTHON
        if path.read_text().count("\n") > (TEST_LINES_MAX if is_test(path) else SOURCE_LINES_MAX)
    ]
    long += [
        f"{named(path)}:{node.lineno} {node.name}"
        for path, tree in TREES.items()
        if not is_test(path)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno > FUNCTION_LINES_MAX
    ]

    assert long == []


def test_names_say_what_a_thing_is() -> None:
    """No file is called utils, common or base, and no class ends in Impl, Helper or Base."""
    vague = [named(path) for path in PYTHON if path.stem in BANNED_NAMES]
    vague += [
        f"{named(path)}:{node.lineno} {node.name}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name.endswith(BANNED_SUFFIXES)
    ]

    assert vague == []


def test_every_module_says_what_it_is() -> None:
    """Every module of the product and every file of tests has a docstring."""
    assert [named(path) for path, tree in TREES.items() if not ast.get_docstring(tree)] == []


def test_every_test_says_what_it_proves() -> None:
    """A test's docstring is a sentence of the specification."""
    silent = [
        f"{named(path)}:{node.lineno} {node.name}"
        for path, tree in TREES.items()
        if is_test(path)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert silent == []


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
    named = set(re.findall(r"(?<![\w./])bin/[a-z]+", (ROOT / "README.md").read_text()))

    assert {"bin/demo", "bin/test"} <= named
    for command in named:
        assert (ROOT / command).stat().st_mode & 0o111
