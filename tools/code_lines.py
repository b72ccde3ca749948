"""Counts lines of code, without blank lines, comments and docstrings.

python -m tools.code_lines [FOLDER ...]
"""

import ast
import io
import sys
import tokenize
from pathlib import Path

NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def code_lines(source: str) -> int:
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if ast.get_docstring(node, clean=False) is not None:
                docstrings.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def main(folders: list[str]) -> None:
    counts = {folder: sum(code_lines(file.read_text()) for file in Path(folder).rglob("*.py")) for folder in folders}
    for folder, count in counts.items():
        print(f"{count:7,}  {folder}")
    print(f"{sum(counts.values()):7,}  in all")


if __name__ == "__main__":
    main(sys.argv[1:] or ["pixelcnn_jax", "experiments", "configs"])
