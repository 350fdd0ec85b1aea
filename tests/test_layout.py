"""The rules of the house that a machine can check: sizes, names, who reads the environment, whose packages they are."""

from __future__ import annotations

import ast
import importlib
import re
import statistics
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("auth", "core", "domain", "jobs", "models", "planner", "providers", "resolvers", "schema", "web")


def python_files(*folders: str) -> list[Path]:
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if "node_modules" not in path.parts)


# What the product consists of, and everything that people write and read here.
MODULES = [*python_files(*PACKAGES), ROOT / "alembic" / "env.py", ROOT / "server.py"]
SOURCES = [*python_files(*PACKAGES, "alembic", "bench", "tests"), ROOT / "server.py"]

MAX_LINES, MEDIAN_LINES, P95_LINES = 500, 110, 350
MAX_FUNCTION_LINES = 40
MAX_PARAMETERS = 5

# Where a composition begins; everywhere else settings are handed over.
READ_THE_ENVIRONMENT = {"server.py", "jobs/worker.py", "alembic/env.py"}
PRINT = {"server.py"}
VAGUE = {"utils", "util", "common", "helpers", "helper", "services", "repositories", "misc", "shared", "lib"}

# Written apart, so that this file does not name what it looks for.
FOREIGN = [
    "/".join(("", "work", "")),
    "/".join(("..", "shared")),
    ".".join(("pypi", "org")),
    ".".join(("files", "pythonhosted", "org")),
    ".".join(("registry", "npmjs", "org")),
    ".".join(("registry", "yarnpkg", "com")),
]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def imported(path: Path) -> set[str]:
    """The modules that a file imports, by their whole names."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


def repository_files() -> list[Path]:
    """What git keeps or would keep."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    if listed.returncode == 0:
        names = [name for name in listed.stdout.decode().split("\0") if name]
        return [ROOT / name for name in names if (ROOT / name).is_file()]
    return [path for path in SOURCES if path.is_file()]  # an unpacked archive


def test_no_module_is_long() -> None:
    assert {named(path): lines(path) for path in MODULES if lines(path) > MAX_LINES} == {}


def test_modules_are_short_as_a_rule() -> None:
    sizes = sorted(lines(path) for path in MODULES if lines(path))
    assert statistics.median(sizes) <= MEDIAN_LINES
    assert statistics.quantiles(sizes, n=20)[-1] <= P95_LINES


def test_no_function_is_long() -> None:
    long = {
        f"{named(path)}:{function.name}": length
        for path in MODULES
        for function in functions(path)
        if (length := (function.end_lineno or 0) - function.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert long == {}


def test_functions_take_few_parameters_and_few_of_them_by_place() -> None:
    """What a schema's field takes is the contract's, and what a method of a class's own form takes is that form's."""
    many = [
        f"{named(path)}:{function.name}"
        for path in MODULES
        if "schema" not in path.parts
        for function in functions(path)
        if len(function.args.posonlyargs + function.args.args + function.args.kwonlyargs) - is_method(function)
        > MAX_PARAMETERS
    ]
    assert many == []


def is_method(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    arguments = function.args.posonlyargs + function.args.args
    return bool(arguments) and arguments[0].arg in ("self", "cls")


def test_no_folder_or_module_has_a_name_that_says_nothing() -> None:
    names = {part for path in SOURCES for part in (*path.relative_to(ROOT).parent.parts, path.stem)}
    assert names & VAGUE == set()


def test_the_environment_is_read_where_a_composition_begins_and_nowhere_else() -> None:
    readers = {
        named(path) for path in MODULES if re.search(r"\bos\.environ|\bgetenv\b|\benviron\b.*import", path.read_text())
    }
    assert readers == READ_THE_ENVIRONMENT


def test_nothing_prints_but_the_banner() -> None:
    printers = {
        named(path)
        for path in MODULES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert printers <= PRINT


def test_nobody_imports_the_composition_root() -> None:
    """Import-linter knows packages alone; the tests start the server as a program or ask it for one function."""
    assert [named(path) for path in MODULES if any(name.split(".")[0] == "server" for name in imported(path))] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [named(path) for path in MODULES if lines(path) and not ast.get_docstring(tree(path))]
    assert silent == []


def test_nothing_is_left_for_later() -> None:
    words = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "NotImplemented" + r"Error\(\)")))
    assert [named(path) for path in SOURCES if words.search(path.read_text())] == []


def test_no_text_names_a_registry_or_the_machine_it_was_written_on() -> None:
    found = {}
    for path in repository_files():
        if b"\0" not in (content := path.read_bytes()):
            text = content.decode(errors="replace")
            if named_here := [foreign for foreign in FOREIGN if foreign in text]:
                found[named(path)] = named_here
    assert found == {}


def test_the_folder_of_migrations_does_not_hide_the_library() -> None:
    assert not list((ROOT / "alembic").rglob("__init__.py"))
    library = importlib.import_module("alembic")
    assert library.__file__
    assert ROOT / "alembic" not in Path(library.__file__).parents
    assert hasattr(importlib.import_module("alembic.command"), "upgrade")


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_the_one_of_this_repository(package: str) -> None:
    assert Path(importlib.import_module(package).__file__ or "") == ROOT / package / "__init__.py"


def test_a_worker_started_from_anywhere_in_the_path_imports_this_repository() -> None:
    """arq appends the working directory to the path: whatever stands before it must not have our names."""
    program = """
import importlib, sys
sys.path.append(".")
for name in sys.argv[1:]:
    print(importlib.import_module(name).__file__)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *PACKAGES, "alembic"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    *ours, library = done.stdout.split()
    assert [Path(file).resolve() for file in ours] == [ROOT / package / "__init__.py" for package in PACKAGES]
    assert "site-packages" in library


def test_imports_point_one_way() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
