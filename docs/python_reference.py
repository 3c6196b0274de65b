"""The page of the Python API: every public name with its signature and its docstring, from the code."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, is_typeddict

import spectra_cli

_WIDTH = 100
_HEAD = """\
# Python

<!-- no block of this page is run: they are signatures, made from the code -->

```python
import spectra_cli as spectra
```

A function has the words and the defaults of the command of its name, and returns what the command prints: a
dataclass, which a notebook shows as HTML and `print` as text. `spectra.table(result)` is what `--format csv`
writes, and `spectra.document(result)` what `--json` writes. Lists are given as on the command line,
`"0,3,6-9"`, or as Python has them, `[0, 3, range(6, 10)]`. What a user can act upon is raised as a
`SpectraError`; it names an option as the command line spells it (`--layer`).
[How to use it](../how-to/use-from-python.md).

"""


def python_reference() -> str:
    """The page, without the note that it was generated."""
    names = [name for name in spectra_cli.__all__ if not name.startswith("_")]
    functions = [name for name in names if name[0].islower()]
    types = [name for name in names if name[0].isupper()]
    parts = [_section(name) for name in (*functions, *types)]
    return _HEAD + "\n".join(parts)


def _section(name: str) -> str:
    one = getattr(spectra_cli, name)
    lines = [f"## spectra.{name}\n"]
    if inspect.isfunction(one):
        lines.append(f"```python\n{_signature(one, f'spectra.{name}')}\n```\n")
    lines.append(f"```text\n{_doc(one)}\n```\n")
    if inspect.isclass(one) and not is_typeddict(one) and not issubclass(one, Exception):
        lines += [f"### {shown}\n\n```text\n{_doc(member)}\n```\n" for shown, member in _members(one)]
    return "\n".join(lines)


def _members(one: type[Any]) -> Iterator[tuple[str, Any]]:
    """Own properties and methods, as they are written down."""
    for name, member in vars(one).items():
        if name.startswith("_"):
            continue
        if inspect.isfunction(member):
            yield _signature(member, f"{one.__name__}.{name}", owned=True), member
        elif isinstance(member, (property, cached_property)):
            yield f"{one.__name__}.{name}", member


def _signature(function: Callable[..., Any], name: str, *, owned: bool = False) -> str:
    """As it is written in the code, on one line if it fits; `owned`: without `self`."""
    node = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(node, ast.FunctionDef)
    words = list(_arguments(node.args))[owned:]
    returned = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
    line = f"{name}({', '.join(words)}){returned}"
    if len(line) <= _WIDTH or owned:
        return line
    return f"{name}(\n" + "".join(f"    {word},\n" for word in words) + f"){returned}"


def _arguments(arguments: ast.arguments) -> Iterator[str]:
    """Each as it is written, and the star before those that need their name."""
    nothing: list[ast.expr | None] = [None] * (len(arguments.args) - len(arguments.defaults))
    for one, default in zip(arguments.args, [*nothing, *arguments.defaults], strict=True):
        yield _argument(one, default)
    if arguments.vararg:
        yield f"*{_argument(arguments.vararg, None)}"
    elif arguments.kwonlyargs:
        yield "*"
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _argument(one, default)
    if arguments.kwarg:
        yield f"**{_argument(arguments.kwarg, None)}"


def _argument(one: ast.arg, default: ast.expr | None) -> str:
    stated = one.arg if one.annotation is None else f"{one.arg}: {ast.unparse(one.annotation)}"
    return stated if default is None else f"{stated} = {ast.unparse(default)}"


def _doc(one: Any) -> str:
    text = inspect.getdoc(one) or ""
    return text.partition("\n>>>")[0].rstrip()
