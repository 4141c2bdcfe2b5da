"""Usage errors that typer finds, in the words of all other errors."""

from __future__ import annotations

from typing import Any, cast

import typer

from jitkit.cli.help import placeholder
from jitkit.errors import UsageError, did_you_mean, shown

TyperUsageError = cast(type[Exception], typer.BadParameter.__mro__[2])  # the base class, which has no public name
KINDS = {"int": "an integer", "float": "a number"}


def usage_error(error: Any) -> UsageError:
    """Return what typer found wrong with the command line as an error of jitkit."""
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    hint = f"See {context.command_path} --help." if context else ""
    if option := getattr(error, "option_name", None):
        return _wrong_option(error, option, hint)
    if parameter is None:
        return UsageError(error.format_message().rstrip(".").lower(), hint=hint)
    name = max(parameter.opts, key=len) if parameter.param_type_name == "option" else placeholder(parameter)
    if hasattr(error, "param_type"):  # it is missing
        text = (parameter.help or "a value").rstrip(".")
        return UsageError("nothing", text[:1].lower() + text[1:], field=name, hint=hint)
    found = next((shown(one["input"]) for one in _validation_errors(error)), error.message)
    return UsageError(found, _expected(parameter, error.message), field=name, hint=hint)


def _wrong_option(error: Any, option: str, hint: str) -> UsageError:
    if not hasattr(error, "possibilities"):  # it lacks a value, or has one too many
        lacks = "requires" in error.message
        found, expected = ("no value", "a value") if lacks else ("a value", "none, since it is a switch")
        return UsageError(found, expected, field=option, hint=hint)
    known = [name for each in error.ctx.command.params for name in each.opts]
    hint = " ".join(filter(None, [did_you_mean(option, known), hint]))
    return UsageError("an unknown option", f"an option of {error.ctx.command_path}", field=option, hint=hint)


def _validation_errors(error: BaseException) -> list[dict[str, Any]]:
    return getattr(error.__cause__, "errors", list)()


def _expected(parameter: Any, message: str) -> str:
    """Return "an integer >= 1" for a number, and what the validation wants for anything else."""
    kind = KINDS.get(parameter.bare_type())
    if kind is None:
        return message.removeprefix("Input should be ")
    bounds = [f"{sign} {bound}" for sign, bound in ((">=", parameter.min), ("<=", parameter.max)) if bound is not None]
    return " ".join([kind, " and ".join(bounds)]).strip()
