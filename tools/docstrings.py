"""Checks the docstrings of what a user meets: every argument, return value and field is described.

python -m tools.docstrings

Reads the syntax trees alone. Functions need "Args:" with each parameter, and "Returns:" unless they return nothing;
classes need "Attributes:" with each field; the names in ``pixelcnn_jax.__all__`` also need "Example:", which a test
runs.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path("pixelcnn_jax")
# Files whose public functions, or named classes with their public methods, a user meets.
FUNCTIONS = ("models/layers.py", "models/conditionals.py", "noise.py", "data/pictures.py")
CLASSES = {
    "models/autoregressive.py": ["Network"],
    "models/conditioning/conditional_model.py": ["ConditionalModel", "ConstantCondition"],
    "models/conditioning/encoders.py": ["Encoder", "Deconvolution", "Upsampling"],
    "models/conditioning/set_encoder.py": ["SetEncoder"],
    "models/conditioning/text_encoder.py": ["TextEncoder"],
    "models/streaming.py": ["Stream"],
    "training/experiment.py": ["Experiment", "Recipe"],
    "training/evaluation.py": ["Evaluation"],
    "training/fit.py": ["Fitted"],
    "training/information.py": ["Information"],
    "noise.py": ["Poisson", "Gaussian", "BernoulliFlips"],
    "netket.py": ["PixelARNN"],
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def missing(node: Function | ast.ClassDef, *, example: bool = False) -> Iterator[str]:
    """Lists what the docstring of a function or class lacks."""
    text = ast.get_docstring(node) or ""
    if isinstance(node, ast.ClassDef):
        section, names = "Attributes", [ast.unparse(x.target) for x in node.body if isinstance(x, ast.AnnAssign)]
    else:
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        section, names = "Args", [x.arg for x in arguments if x.arg not in ("self", "cls")]
        is_value = any(ast.unparse(x) in ("property", "overload") for x in node.decorator_list)
        returns = "None" if node.returns is None or is_value else ast.unparse(node.returns)
        if returns != "None" and "Returns:" not in text:
            yield "Returns"
    described = text.partition(f"{section}:")[2]
    yield from (f"{section}: {name}" for name in names if not re.search(rf"^\s+{name}: ", described, re.MULTILINE))
    if example and not re.search(r"^Example:", text, re.MULTILINE):
        yield "Example"


def public(nodes: list[ast.stmt]) -> list[Function]:
    """Selects functions without an underscore, and ``__call__``."""
    functions = [x for x in nodes if isinstance(x, Function)]
    return [x for x in functions if x.name == "__call__" or not x.name.startswith("_")]


def main() -> None:
    """Prints what is missing, and ends with status 1 if anything is."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (names,) = (
        ast.literal_eval(x.value)
        for x in tree.body
        if isinstance(x, ast.Assign) and ast.unparse(x.targets[0]) == "__all__"
    )
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        place = file.relative_to(PACKAGE).as_posix()
        body = ast.parse(file.read_text()).body
        exported = [x for x in body if getattr(x, "name", "") in names and "cli/" not in place]
        parts: list[tuple[Function | ast.ClassDef, bool]] = [(x, True) for x in exported]  # type: ignore[misc]
        parts += [(x, False) for x in public(body) if place in FUNCTIONS]
        for node in body:
            if isinstance(node, ast.ClassDef) and node.name in CLASSES.get(place, ()):
                parts += [(node, False), *((method, False) for method in public(node.body))]
        found += [
            f"{file}:{x.lineno} {x.name} lacks {what}" for x, example in parts for what in missing(x, example=example)
        ]
    print(*found, sep="\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
