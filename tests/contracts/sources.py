"""The source tree as the contract tests see it: files, packages, imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).parent.parent.parent
SOURCE = PROJECT / "src/pilothouse"


@dataclass(frozen=True, kw_only=True)
class Import:
    """One import of one of our own modules."""

    file: str
    """Below ``src/pilothouse``."""
    line: int
    package: str
    """The package the file belongs to; a top-level file is its own."""
    target: str
    """The dotted module imported, without ``pilothouse.``."""
    lazy: bool
    """True inside a function: it costs nothing until it is called."""

    @property
    def target_package(self) -> str:
        """The package imported from."""
        return self.target.split(".")[0]


@cache
def routes() -> frozenset[str]:
    """The paths of the API."""
    from tools import schemas

    return frozenset(schemas.described()["paths"])


@cache
def files() -> tuple[Path, ...]:
    """Every source file."""
    return tuple(sorted(SOURCE.rglob("*.py")))


@cache
def tree(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def package_of(path: Path) -> str:
    """The package a file belongs to."""
    parts = path.relative_to(SOURCE).parts
    return parts[0] if len(parts) > 1 else parts[0].removesuffix(".py")


@cache
def own_imports() -> tuple[Import, ...]:
    """All imports between our own packages."""
    return tuple(found for path in files() for found in _imports(path) if found.target_package != found.package)


def _imports(path: Path) -> Iterator[Import]:
    waiting: list[tuple[ast.AST, bool]] = [(tree(path), False)]
    while waiting:
        node, lazy = waiting.pop()
        for_types = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        lazy = lazy or for_types or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for module in _modules(node, path):
            name, _, rest = module.partition(".")
            if name == "pilothouse" and rest:
                yield Import(
                    file=str(path.relative_to(SOURCE)),
                    line=getattr(node, "lineno", 0),
                    package=package_of(path),
                    target=rest,
                    lazy=lazy,
                )
        # Imports are statements: no expression holds one.
        waiting += [(child, lazy) for child in ast.iter_child_nodes(node) if isinstance(child, _HOLDERS)]


_HOLDERS = (ast.stmt, ast.excepthandler, ast.match_case)


def _modules(node: ast.AST, path: Path) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    if node.level == 0:
        module = node.module or ""
        # `from pilothouse import traces` imports a package; of deeper modules the module is enough to know.
        return [f"pilothouse.{alias.name}" for alias in node.names] if module == "pilothouse" else [module]
    parts = ["pilothouse", *path.relative_to(SOURCE).parts[:-1]]
    base = parts[: len(parts) - (node.level - 1)]
    if node.module:
        return [".".join([*base, node.module])]
    return [".".join([*base, alias.name]) for alias in node.names]


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """Every string of a file with its line; of an f-string the fixed parts, with ``{}`` between."""
    fixed: set[ast.AST] = set()
    constants: list[ast.Constant] = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.JoinedStr):
            fixed.update(node.values)
            parts = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield node.lineno, "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            constants.append(node)
    yield from ((node.lineno, str(node.value)) for node in constants if node not in fixed)
