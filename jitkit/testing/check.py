"""Running laws over components."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from jitkit.component import Component
from jitkit.discovery.registry import Registry
from jitkit.errors import JitkitError, PluginError, did_you_mean, shown
from jitkit.evaluation.metric import Metric
from jitkit.kinds import KIND_OF_TABLE, KINDS, Kind
from jitkit.protocols import COMPONENT_PROTOCOLS
from jitkit.testing.law import Law

PROTOCOLS = {**COMPONENT_PROTOCOLS, "metrics": Metric}


@dataclass(frozen=True)
class LawResult:
    """One law run over one component; `broken` says how it was broken, "" when it holds."""

    kind: str
    component: str
    law: str
    broken: str

    def as_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return asdict(self)


def laws_of(kind: Kind) -> tuple[Law, ...]:
    """Return the laws that every member of a kind must keep."""
    module = importlib.import_module(f"jitkit.testing.conformance.{kind.name.replace(' ', '_')}")
    laws: tuple[Law, ...] = module.LAWS
    return laws


def check(component: Component, kind: str) -> list[LawResult]:
    """Run all laws over a component instance; `kind` is the table that names such parts: "codec", "schedule", ..."""
    return _check(component, _kind(kind))


def parametrize_laws(kind: str, *components: Component) -> Any:
    """Return a pytest mark that calls a test with `law`, a function without arguments, once a law and component.

    ::

        @parametrize_laws("codec", HsvCodec())
        def test_laws(law):
            law()
    """
    import pytest

    cases = [
        pytest.param(partial(law, component), id=f"{component.name}-{law.__name__}")
        for component in components
        for law in laws_of(_kind(kind))
    ]
    return pytest.mark.parametrize("law", cases)


def check_named(registry: Registry, names: Sequence[str] | None = None) -> list[LawResult]:
    """Check the parts of these names, of whatever kind (all parts for None), each in its tiny form.

    Raises PluginError for a name that nobody offers.
    """
    offered = [(kind, name) for kind in KINDS for name in registry.catalog(kind.table).names()]
    unknown = [name for name in names or () if name not in {known for _, known in offered}]
    if unknown:
        raise PluginError(
            f"unknown part {shown(unknown[0])}",
            "the name of a part (jitkit plugins list --parts)",
            hint=did_you_mean(unknown[0], [known for _, known in offered]),
        )
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, name in offered:
            if names is None or name in names:
                place = Path(folder, kind.table, name)
                place.mkdir(parents=True)
                results += _check(registry.component(kind.table, name).tiny(place), kind)
    return results


def _kind(table: str) -> Kind:
    if table not in KIND_OF_TABLE:
        raise PluginError(f"kind {shown(table)}", f"one of {', '.join(KIND_OF_TABLE)}")
    return KIND_OF_TABLE[table]


def _check(component: Component, kind: Kind) -> list[LawResult]:
    expected = PROTOCOLS[kind.table]
    if not isinstance(component, expected):
        return [LawResult(kind.name, component.name, f"implements {expected.__name__}", "a member is missing")]
    return [_run(law, component, kind) for law in laws_of(kind)]


def _run(law: Law, component: Component, kind: Kind) -> LawResult:
    words = " ".join((law.__doc__ or law.__name__).split())
    try:
        law(component)
    except (AssertionError, JitkitError) as error:
        return LawResult(kind.name, component.name, words, str(error) or "it does not hold")
    except Exception as error:
        return LawResult(kind.name, component.name, words, f"{type(error).__name__}: {error}")
    return LawResult(kind.name, component.name, words, "")
