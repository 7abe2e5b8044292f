"""The source code of the packages as syntax trees: what each file imports, and which names it carries."""

import ast
import functools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from support.commands import ROOT

PACKAGES = ("data_prep", "trainables", "sweeps", "analysis")


def files(root: Path = ROOT, packages: Iterable[str] = PACKAGES) -> list[Path]:
    """The Python files of the packages, sorted by path."""
    return sorted(path for package in packages for path in (root / package).rglob("*.py"))


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    """Every node of a file's syntax tree."""
    return list(ast.walk(ast.parse(path.read_text())))


def imported(path: Path) -> set[str]:
    """The dotted names that a file imports anywhere, inside functions and under TYPE_CHECKING too.

    `from a.b import c` gives `a.b.c`, whether c is a module or a name in one.
    """
    names: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}, line {node.lineno}: write the import absolutely"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_packages(path: Path) -> set[str]:
    """The top-level packages that a file imports."""
    return {name.partition(".")[0] for name in imported(path)}


def import_graph(root: Path = ROOT) -> dict[Path, set[Path]]:
    """File → the files of the packages that it imports by name. `import a.b` does not count as one of `a`."""
    known = set(files(root))

    def resolved(name: str) -> Iterator[Path]:
        for words in (name.split("."), name.split(".")[:-1]):
            module = root.joinpath(*words)
            for path in (module.with_suffix(".py"), module / "__init__.py"):
                if path in known:
                    yield path
                    return

    return {path: {found for name in imported(path) for found in resolved(name)} for path in known}


def reached(*starts: str, root: Path = ROOT) -> set[Path]:
    """The files that these import, directly or by way of others, and these."""
    graph, left, found = import_graph(root), [root / start for start in starts], set[Path]()
    while left:
        path = left.pop()
        left += graph[path] - found if path not in found else ()
        found.add(path)
    return found


def circle(graph: dict[Path, set[Path]]) -> list[Path]:
    """Files of which each imports the next, and the last the first; empty where there is no circle."""
    done: set[Path] = set()

    def search(path: Path, above: list[Path]) -> list[Path]:
        if path in above:
            return above[above.index(path) :]
        if path in done:
            return []
        for other in sorted(graph[path]):
            if found := search(other, [*above, path]):
                return found
        done.add(path)
        return []

    return next((found for path in sorted(graph) if (found := search(path, []))), [])


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions and methods of a file, inner ones too."""
    return [node for node in nodes(path) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function from its `def` to its end, docstring included."""
    return (function.end_lineno or 0) - function.lineno + 1


def statements(root: Path = ROOT) -> int:
    """The number of `ast.stmt` in the packages: docstrings, imports, `def` and `class` count."""
    return sum(isinstance(node, ast.stmt) for path in files(root) for node in nodes(path))


def _words(node: ast.AST) -> Iterator[str]:
    """The names that a node carries: identifiers as they are, and the words of strings, docstrings included."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.alias(name=name):
            yield name
        case ast.keyword(arg=str(name)) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Constant(value=str(text)):
            yield from re.findall(r"\w+", text)


def carries(path: Path, names: set[str]) -> bool:
    """Whether a file carries one of the names: as an identifier, an attribute, an argument, or a word in a string."""
    return any(not names.isdisjoint(_words(node)) for node in nodes(path))


def hands_on(path: Path, names: set[str], types: str) -> bool:
    """Whether a function's argument or a class's field of one of the names has one of the types (a pattern)."""
    for node in nodes(path):
        match node:
            case (
                ast.arg(arg=name, annotation=annotation)
                | ast.AnnAssign(target=ast.Name(id=name), annotation=annotation)
            ) if name in names and annotation and re.search(types, ast.unparse(annotation)):
                return True
    return False


def walk(carrier: Callable[[Path], bool], packages: Iterable[str], root: Path = ROOT) -> list[str]:
    """The files of the packages that a value passes through, named from the root."""
    return [str(path.relative_to(root)) for path in files(root, packages) if carrier(path)]
