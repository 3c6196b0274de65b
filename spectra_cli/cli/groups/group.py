"""How options are stated: one by one, or as a frozen dataclass that comes back as one value."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import Field, field, fields
from typing import Annotated, Any, ClassVar, get_args, get_type_hints

import typer

# names of options that say nothing of what stands behind them: the help has a word for that
_WORDS = {
    **dict.fromkeys(("step", "layer", "layers", "matrices", "measure", "statistic"), "LIST"),
    **dict.fromkeys(("align", "loss", "against"), "WHICH"),
    **dict.fromkeys(("style", "family", "alpha"), "NAME"),
}

Complete = Callable[[str], list[str]]


def one_of(names: Iterable[str] | Callable[[], Iterable[str]]) -> Complete:
    """One of the names; a function of them is called only when the shell asks."""

    def complete(incomplete: str) -> list[str]:
        known = names() if callable(names) else names
        return [name for name in known if name.startswith(incomplete)]

    return complete


def some_of(names: Iterable[str] | Callable[[], Iterable[str]]) -> Complete:
    """Names with commas between, none of them twice.

    >>> some_of(("probe", "dtype", "pool"))("dtype,p")
    ['dtype,probe', 'dtype,pool']
    """
    one = one_of(names)

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in one(last) if name not in before.split(",")]

    return complete


def statistics() -> Iterable[str]:
    """The names of the statistics."""
    from spectra_cli.statistics.registry import DEFINITIONS

    return DEFINITIONS


def option(
    help: str,  # noqa: A002 - typer's own word
    *flags: str,
    default: Any = None,
    metavar: str | None = None,
    offers: Complete | None = None,
    least: int | None = None,
) -> Any:
    """An option, as the default of a command's keyword or of a group's field; its type is that one's.

    Args:
        help: its line in the help.
        flags: by default the name, as in `--batch-size`.
        default: what stands where the user gives nothing.
        metavar: what the help calls its value; by default as `_value_name` has it.
        offers: what the shell completes it with.
        least: the smallest number that is taken.
    """
    said = {"help": help, "metavar": metavar, "autocompletion": offers, "min": least}
    return field(default=default, metadata={"flags": flags, "said": said})


class OptionGroup:
    """Options that belong together, under one heading of the help.

    A group is a frozen dataclass whose fields are options; a command has it as the type of a keyword.
    """

    panel: ClassVar[str]


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer is to see it: its options, and in place of each group those of the group."""
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        kind = parameter.annotation
        if isinstance(kind, type) and issubclass(kind, OptionGroup):
            groups[name] = kind
            hints, own = get_type_hints(kind), fields(kind)  # type: ignore[arg-type]
            parameters += [_parameter(each.name, hints[each.name], each, kind.panel) for each in own]
        elif isinstance(parameter.default, Field):
            parameters.append(_parameter(name, kind, parameter.default, None))
        else:
            parameters.append(parameter)

    def call(**values: Any) -> None:
        for name, kind in groups.items():
            values[name] = kind(**{each.name: values.pop(each.name) for each in fields(kind)})
        command(**values)

    call.__doc__ = command.__doc__
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {}  # the signature has them all, evaluated once
    return call


def _parameter(name: str, kind: Any, stated: Field[Any], panel: str | None) -> inspect.Parameter:
    flags = stated.metadata["flags"] or (f"--{name.replace('_', '-')}",)
    said = dict(stated.metadata["said"])
    if kind is not bool:
        said["metavar"] = said["metavar"] or _value_name(name, kind)
    shown = typer.Option(*flags, rich_help_panel=panel, **said)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=stated.default, annotation=Annotated[kind, shown]
    )


def _value_name(name: str, kind: Any) -> str:
    """What the help calls a value: whole numbers N, other numbers X, all else by what is to be written.

    >>> _value_name("points", int | None), _value_name("level", float), _value_name("layer", str | None)
    ('N', 'X', 'LIST')
    >>> _value_name("align", str)
    'WHICH'
    """
    numbers = {int: "N", float: "X"}
    kinds = {kind, *get_args(kind)}
    words = (word for number, word in numbers.items() if number in kinds)
    return next(words, "") or _WORDS.get(name) or name.strip("_").upper()
