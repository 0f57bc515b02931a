"""Fails on files and functions that have grown too long to read."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

FILE_LINES = 400
FUNCTION_LINES = 60


def main() -> int:
    found = [problem for path in tracked_python() for problem in problems(path)]
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


def tracked_python() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "*.py"], capture_output=True, text=True, check=True
    ).stdout
    return [path for path in map(Path, listing.splitlines()) if path.exists()]


def problems(path: Path) -> list[str]:
    """One line each: file:function:lines, or file:lines for a file."""
    source = path.read_text()
    lines = len(source.splitlines())
    too_long = [f"{path}:{lines}: longer than {FILE_LINES} lines"] if lines > FILE_LINES else []
    for name, length in function_lengths(ast.parse(source)):
        if length > FUNCTION_LINES:
            too_long.append(f"{path}:{name}:{length}: longer than {FUNCTION_LINES} lines")
    return too_long


def function_lengths(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


if __name__ == "__main__":
    sys.exit(main())
