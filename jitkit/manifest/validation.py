"""Validation errors of pydantic as problems with the manifest's file, line and key."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from jitkit.errors import ManifestError, Problem, counted, did_you_mean, shown
from jitkit.kinds import KIND_OF_TABLE
from jitkit.manifest.hints import key_hint, schema_keys
from jitkit.manifest.schema import FORMS
from jitkit.manifest.source import Location, ManifestSource, dotted

Model = TypeVar("Model", bound=BaseModel)

MAX_PROBLEMS = 50  # reported one by one
_OWN = re.compile(r"^(?:Value error, )?(?P<key>\w+): found (?P<found>.*); expected (?P<expected>.*)$", re.DOTALL)


def validate(model: type[Model], values: Mapping[str, Any], source: ManifestSource, table: Location = ()) -> Model:
    """Return a `model` with TOML values, located in `table` of `source`. Raises ManifestError with every problem."""
    try:
        # As JSON, lists are valid tuples in strict mode, while "768", true and 3.0 are still no integers.
        return model.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        found = error.errors(include_url=False)
        found = [details for details in found if not _is_misspelled(details, found)]
        problems = [_problem(model, details, source, table) for details in found[:MAX_PROBLEMS]]
        if more := found[MAX_PROBLEMS:]:
            problems.append(Problem(f"{counted(len(more), 'more error')}", file=source.origin))
        raise ManifestError(problems=problems) from error


def _is_misspelled(details: ErrorDetails, others: list[ErrorDetails]) -> bool:
    """Return whether a key is missing because of another error: an unknown key in the same table that is named much alike."""
    if details["type"] != "missing":
        return False
    *table, key = details["loc"]
    unknown = [other["loc"] for other in others if other["type"] == "extra_forbidden"]
    return any([*location[:-1]] == table and did_you_mean(str(location[-1]), [str(key)]) for location in unknown)


def _problem(model: type[BaseModel], details: ErrorDetails, source: ManifestSource, table: Location) -> Problem:
    location = table + tuple(part for part in details["loc"] if part not in FORMS)
    kind, message, value = details["type"], details["msg"], details["input"]
    if kind == "json_invalid":  # the only text that JSON can express and pydantic cannot read
        return source.problem(table, "tables or arrays nested too deeply", "a flat table")
    if kind == "extra_forbidden":
        known = [*(["use"] if dotted(table) in KIND_OF_TABLE else []), *_keys(model, details["loc"][:-1])]
        hint = _key_hint(location, source) or did_you_mean(str(location[-1]), known) or _replacement_hint(source, table)
        expected = "" if hint else f"one of {', '.join(known)}"  # the list would hide the hint
        return source.problem(location, "an unknown key", expected, hint)
    if kind == "missing":
        return source.problem(location, "nothing", f"a value for {location[-1]}")
    if ours := _OWN.match(message):
        return source.problem((*location, ours["key"]), ours["found"], ours["expected"])
    expected = re.sub(r"^(Input|Tuple|List|Dictionary|String|Value) should (be|have|match)\s*", "", message)
    expected = re.sub(r" after validation, not \d+$", "", expected.removeprefix("Value error, "))
    expected = re.sub(r"\ba valid (?=[aei])", "an ", expected).replace("a valid ", "a ")
    return source.problem(location, shown(value), expected)


def _keys(model: type[BaseModel], location: Location) -> list[str]:
    """Return the keys allowed in the table at `location` of `model`, also inside a `dict[str, Model]`."""
    annotation: Any = model
    for part in location:
        if get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
        elif _is_model(annotation):
            annotation = _non_optional(annotation.model_fields[str(part)].annotation)
    if not _is_model(annotation):
        return []
    return [field.alias or name for name, field in annotation.model_fields.items()]


def _key_hint(location: Location, source: ManifestSource) -> str:
    """Return the key of this or another table that an unknown key may stand for, as the user would write it."""
    form = "`--set {}=`" if source.is_overridden(location) else "{}"
    options = [key for key in source.keys if key.partition(".")[0] in KIND_OF_TABLE and key != dotted(location)]
    return key_hint(str(location[-1]), [*schema_keys(), *options], form)


def _replacement_hint(source: ManifestSource, table: Location) -> str:
    """Explain how to replace a component, if only `use` was overridden and the options of the old one remain."""
    key = dotted(table)
    return f"Replace the whole table: --set '{key}={{use=\"...\"}}'." if f"{key}.use" in source.overridden else ""


def _non_optional(annotation: Any) -> Any:
    """Return X for `X | None`, and any other annotation unchanged."""
    some = [part for part in get_args(annotation) if part is not NoneType]
    return some[0] if NoneType in get_args(annotation) and len(some) == 1 else annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
