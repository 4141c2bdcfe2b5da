"""Usage errors that typer finds, in the format of all other errors."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

import typer

from jitkit.cli.help import placeholder
from jitkit.errors import UsageError, did_you_mean, shown
from jitkit.kinds import INFERENCE_TABLES, is_among

TyperUsageError = cast(type[Exception], typer.BadParameter.__mro__[2])  # the base class, which has no public name
FREE_TEXT = {"prompt", "infill", "text"}  # parameters whose values may be empty
VALUES = {  # by placeholder
    "DEVICE": "a device",
    "FILE": "a file",
    "FOLDER": "a folder",
    "MANIFEST": "a manifest",
    "MODEL": "a model",
    "N": "a number",
    "NAME": "a name",
    "PATH": "a path",
    "PATH|auto": "a path or auto",
    "RUN": "a folder",
    "TEXT": "a text",
}
KINDS = {"int": "an integer", "float": "a number"}


def usage_error(error: Any) -> UsageError:
    """Return what typer found wrong with the command line as an error of jitkit."""
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    hint = f"See {context.command_path} --help." if context else ""
    if option := getattr(error, "option_name", None):
        return _wrong_option(error, option, hint)
    if parameter is None:
        return UsageError(error.format_message().rstrip(".").lower(), hint=hint)
    name = _name_of(parameter)
    if hasattr(error, "param_type"):  # it is missing
        text = (parameter.help or "a value").rstrip(".")
        return UsageError("nothing", text[:1].lower() + text[1:], field=name, hint=hint)
    found = next((shown(one["input"]) for one in _validation_errors(error)), error.message)
    return UsageError(found, _expected(parameter, error.message), field=name, hint=hint)


def require_values(command: Any, ctx: Any, args: list[str]) -> None:
    """Raise UsageError for an empty value, which as a path would be the working folder, unless it may be any text."""
    try:
        values = command.make_parser(ctx).parse_args(args=list(args))[0]
    except TyperUsageError as error:
        error.ctx = ctx  # type: ignore[attr-defined]  # typer leaves it out where a value is missing
        raise
    for parameter in command.params:
        given = values.get(parameter.name)
        if parameter.name not in FREE_TEXT and "" in (given if isinstance(given, list | tuple) else [given]):
            hint = f"See {ctx.command_path} --help."
            raise UsageError("an empty value", _value_of(parameter), field=_name_of(parameter), hint=hint)


def _value_of(parameter: Any) -> str:
    """Return what a parameter takes, for a message: "a folder", or else its placeholder, such as "KEY=VALUE"."""
    name = placeholder(parameter)
    return VALUES.get(name.rstrip("."), name)


def _name_of(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return placeholder(parameter)
    return str(next((name for name in parameter.opts if name.startswith("--")), parameter.opts[0]))


def _wrong_option(error: Any, option: str, hint: str) -> UsageError:
    if not hasattr(error, "possibilities"):  # it lacks a value, or has one too many
        if "requires" not in error.message:
            return UsageError("a value", "none, because it is a flag", field=option, hint=hint)
        lacking = next(each for each in error.ctx.command.params if option in each.opts)
        return UsageError("no value", _value_of(lacking), field=option, hint=hint)
    known = [name for each in error.ctx.command.params for name in each.opts]
    meant = _key_hint(error.ctx.command, option) if "--set" in known else ""
    # The dashes, which all options share, would make unlike names alike.
    meant = meant or did_you_mean(option.lstrip("-"), (name[2:] for name in known if name.startswith("--")), "--{}")
    if not meant and hasattr(error.ctx.command, "list_commands"):
        meant = "Options of a command follow its name."
    hint = " ".join(filter(None, [meant, hint]))
    return UsageError("an unknown option", f"an option of {error.ctx.command_path}", field=option, hint=hint)


def _key_hint(command: Any, option: str) -> str:
    """Return the manifest key that an unknown option may stand for. Some keys of a trained model cannot change."""
    trains = any(parameter.name == "manifest" for parameter in command.params)
    return set_hint(option, None if trains else INFERENCE_TABLES)


def set_hint(name: str, allowed: Collection[str] | None = None) -> str:
    """Return the `--set` that a name without its table may stand for, among the `allowed` tables, or ""."""
    from jitkit.cli.completion import manifest_keys
    from jitkit.manifest.hints import key_hint

    keys = (key.removesuffix("=") for key, _ in manifest_keys())
    return key_hint(name, (key for key in keys if allowed is None or is_among(key, allowed)), "`--set {}=`")


def _validation_errors(error: BaseException) -> list[dict[str, Any]]:
    return getattr(error.__cause__, "errors", list)()


def _expected(parameter: Any, message: str) -> str:
    """Return "an integer >= 1" for a number, and what the validation expects otherwise."""
    kind = KINDS.get(parameter.bare_type())
    if choices := message.partition(" is not one of ")[2]:
        return f"one of {choices.rstrip('.')}"
    if kind is None:
        return message.removeprefix("Value error, ").removeprefix("Input should be ")
    bounds = [f"{sign} {bound}" for sign, bound in ((">=", parameter.min), ("<=", parameter.max)) if bound is not None]
    return " ".join([kind, " and ".join(bounds)]).strip()
