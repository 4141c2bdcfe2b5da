"""What pydantic found wrong, said in the coordinates of the manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from jitkit.errors import ManifestError, Problem, did_you_mean, shown
from jitkit.manifest.source import Location, ManifestSource

Model = TypeVar("Model", bound=BaseModel)

_OURS = re.compile(r"^(?:Value error, )?(?P<key>\w+): found (?P<found>.*); expected (?P<expected>.*)$", re.DOTALL)


def validate(model: type[Model], values: Mapping[str, Any], source: ManifestSource, table: Location = ()) -> Model:
    """Return `model` made from TOML values; `table` is where they stand in `source`.

    Validation goes through JSON, where strict mode takes lists for tuples yet still refuses "768", true and 3.0 for
    integers. Raises ManifestError with every problem at once.
    """
    try:
        return model.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        problems = [_problem(model, details, source, table) for details in error.errors(include_url=False)]
        raise ManifestError(problems=problems) from error


def at(source: ManifestSource, location: Location, found: str, expected: str = "", hint: str = "") -> Problem:
    """Return a problem at a place of the manifest."""
    return Problem(
        found,
        expected,
        file=source.file_of(location),
        line=source.line_of(location),
        field=_dotted(location),
        hint=hint,
    )


def _problem(model: type[BaseModel], details: ErrorDetails, source: ManifestSource, table: Location) -> Problem:
    location = table + details["loc"]
    kind, message, value = details["type"], details["msg"], details["input"]
    if kind == "extra_forbidden":
        known = _keys(model, details["loc"][:-1])
        return at(
            source,
            location,
            "an unknown key",
            f"one of {', '.join(known)}",
            did_you_mean(str(location[-1]), known) or _exchange_hint(source, table),
        )
    if kind == "missing":
        return at(source, location, "nothing", f"a value for {location[-1]}")
    if ours := _OURS.match(message):
        return at(source, (*location, ours["key"]), ours["found"], ours["expected"])
    expected = re.sub(r"^(Input|Tuple|String|Value) should (be|have|match)\s*", "", message)
    expected = expected.removeprefix("Value error, ").replace("a valid integer", "an integer").replace("a valid ", "a ")
    return at(source, location, shown(value), expected)


def _keys(model: type[BaseModel], location: Location) -> list[str]:
    """Return the keys that the table at `location` inside `model` may hold; tables by name (`dict[str, Model]`) count."""
    annotation: Any = model
    for part in location:
        if get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
        elif _is_model(annotation):
            annotation = _without_none(annotation.model_fields[str(part)].annotation)
    if not _is_model(annotation):
        return []
    return [field.alias or name for name, field in annotation.model_fields.items()]


def _exchange_hint(source: ManifestSource, table: Location) -> str:
    """Return how to exchange a whole part, where only its name was: the options of the one before are still there."""
    dotted = _dotted(table)
    if f"{dotted}.use" not in source.overridden:
        return ""
    return f"Exchange the whole table, as in --set '{dotted}={{use=\"...\"}}'."


def _without_none(annotation: Any) -> Any:
    """Return X of "X or nothing", and anything else as it is."""
    some = [part for part in get_args(annotation) if part is not NoneType]
    return some[0] if NoneType in get_args(annotation) and len(some) == 1 else annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _dotted(location: Location) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
