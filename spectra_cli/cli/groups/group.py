"""How a frozen dataclass becomes options of a command, and comes back as one value."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import fields
from functools import cache
from typing import Annotated, Any, ClassVar, get_args, get_type_hints


class OptionGroup:
    """Options that belong together, under one heading of the help.

    A group is a frozen dataclass; its fields are annotated as typer's parameters are, and their defaults are
    those of the options. A command names the group as the type of one of its keywords.
    """

    panel: ClassVar[str]


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer is to see it: in place of each group, its options."""
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        kind = parameter.annotation
        if isinstance(kind, type) and issubclass(kind, OptionGroup):
            groups[parameter.name] = kind
            parameters += _options(groups[parameter.name])
        else:
            parameters.append(parameter)

    def call(**values: Any) -> None:
        for name, kind in groups.items():
            values[name] = kind(**{option.name: values.pop(option.name) for option in fields(kind)})
        command(**values)

    call.__doc__ = command.__doc__
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {}  # the signature has them all, evaluated once
    return call


@cache
def _options(kind: type[Any]) -> tuple[inspect.Parameter, ...]:
    hints = get_type_hints(kind, include_extras=True)
    options = []
    for each in fields(kind):
        value, stated = get_args(hints[each.name])
        option = copy(stated)
        option.rich_help_panel = kind.panel
        options.append(
            inspect.Parameter(
                each.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=each.default,
                annotation=Annotated[value, option],
            )
        )
    return tuple(options)
