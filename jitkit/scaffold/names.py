"""The names of a new plugin, which all follow from the kind and the name of its component."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec

from jitkit.discovery import Registry
from jitkit.discovery.descriptions import describe
from jitkit.errors import UsageError, did_you_mean, shown
from jitkit.kinds import KIND_OF_WORD, Kind

PREFIX = "jitkit-"
MAX_LENGTH = 30  # so that the lines of the package stay short
_NAME = re.compile(rf"(?!{PREFIX}|jitkit_)(?=.{{1,{MAX_LENGTH}}}\Z)[a-z][a-z0-9]*([-_][a-z0-9]+)*")


@dataclass(frozen=True)
class PluginNames:
    """A kind and the name of a component: lowercase words of letters and digits, joined by "-" or "_".

    The derived names begin with a prefix, so that none is a keyword, a module of Python, or a device of Windows.
    """

    kind: Kind
    name: str

    @property
    def distribution(self) -> str:
        """The name to install: "jitkit-my-codec"."""
        return PREFIX + self.name.replace("_", "-")

    @property
    def module(self) -> str:
        """The name to import: "jitkit_my_codec"."""
        return self.distribution.replace("-", "_")

    @property
    def class_name(self) -> str:
        """The name of the component's class: "MyTableCodec" for the codec "my-table"."""
        words = [*re.split("[-_]", self.name), self.kind.word]
        return "".join(word.capitalize() for word in words)


def plugin_names(kind: str, name: str, registry: Registry) -> PluginNames:
    """Return the names for a new component `name` of the kind with this word ("codec").

    Raises UsageError for an unknown kind, and for a name that is invalid or taken by an installed component or package.
    """
    if kind not in KIND_OF_WORD:
        hint = did_you_mean(kind, KIND_OF_WORD)
        raise UsageError(shown(kind), f"one of {', '.join(KIND_OF_WORD)}", field="KIND", hint=hint)
    if not _NAME.fullmatch(name):
        expected = f"at most {MAX_LENGTH} lowercase letters and digits, in words joined by - or _"
        raise UsageError(shown(name), f"{expected}, beginning with a letter", field="NAME", hint=_hint(name))
    names = PluginNames(KIND_OF_WORD[kind], name)
    _require_free(names, registry)
    return names


def _hint(name: str) -> str:
    """Return the valid name that is closest to an invalid one, as a question."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-").removeprefix(PREFIX).lstrip("0123456789-")
    near = words[:MAX_LENGTH].rstrip("-")
    return f"Did you mean {near}?" if _NAME.fullmatch(near) else ""


def _require_free(names: PluginNames, registry: Registry) -> None:
    owners = {one.name: one.plugin for one in describe(registry, names.kind.table)}
    if names.name in owners:
        found = f"{shown(names.name)}, which is the name of a {names.kind.name} of {owners[names.name]}"
        raise UsageError(found, "a new name", field="NAME")
    if find_spec(names.module) is not None:
        raise UsageError(f"{shown(names.name)}, whose package {names.module} is installed", "a new name", field="NAME")
