"""Running conformance tests on components."""

from __future__ import annotations

import importlib
import inspect
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from jitkit.component import Component
from jitkit.discovery.registry import Registry
from jitkit.errors import JitkitError, PluginError, did_you_mean, shown
from jitkit.evaluation.metric import Metric
from jitkit.kinds import KIND_OF_TABLE, KINDS, Kind
from jitkit.protocols import COMPONENT_PROTOCOLS
from jitkit.testing.conformance import ConformanceTest

Test = TypeVar("Test", bound=Callable[..., object])
PROTOCOLS = {**COMPONENT_PROTOCOLS, "metrics": Metric}


@dataclass(frozen=True)
class ConformanceResult:
    """The result of one conformance test for one component."""

    kind: str
    component: str
    requirement: str
    failure: str  # "" if the test passed

    def as_json(self) -> dict[str, Any]:
        """Return the result under the keys of `jitkit plugins check --json`."""
        return {"kind": self.kind, "component": self.component, "law": self.requirement, "broken": self.failure}


def conformance_tests_of(kind: Kind) -> tuple[ConformanceTest, ...]:
    """Return the conformance tests of a kind."""
    module = importlib.import_module(f"jitkit.testing.conformance.{kind.name.replace(' ', '_')}")
    functions = [value for name, value in vars(module).items() if inspect.isfunction(value) and name[0] != "_"]
    return tuple(function for function in functions if function.__module__ == module.__name__)


def check(component: Component, kind: str) -> list[ConformanceResult]:
    """Run all conformance tests on a component; `kind` is its manifest table: "codec", "schedule", ..."""
    found = _kind(kind)
    if not isinstance(component, protocol := PROTOCOLS[kind]):
        return [ConformanceResult(found.name, component.name, f"implements {protocol.__name__}", "a member is missing")]
    results = []
    for test in conformance_tests_of(found):
        requirement, failure = " ".join((test.__doc__ or test.__name__).split()), ""
        try:
            test(component)
        except (AssertionError, JitkitError) as error:
            failure = str(error) or "the requirement does not hold"
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
        results.append(ConformanceResult(found.name, component.name, requirement, failure))
    return results


def parametrize_conformance(kind: str, *components: Component) -> Callable[[Test], Test]:
    """Return a pytest mark that runs a test once per conformance test and component.

    ::

        @parametrize_conformance("codec", HsvCodec())
        def test_conformance(conformance_test):
            conformance_test()
    """
    import pytest

    cases = [
        pytest.param(partial(test, component), id=f"{component.name}-{test.__name__}")
        for component in components
        for test in conformance_tests_of(_kind(kind))
    ]
    return pytest.mark.parametrize("conformance_test", cases)


def check_named(registry: Registry, names: Sequence[str] | None = None) -> list[ConformanceResult]:
    """Check the components with these names, of any kind, in their tiny form; None checks all components.

    Raises PluginError for an unknown name.
    """
    offered = [(kind, name) for kind in KINDS for name in registry.catalog(kind.table).names()]
    unknown = [name for name in names or () if name not in {known for _, known in offered}]
    if unknown:
        hint = did_you_mean(unknown[0], [known for _, known in offered])
        expected = "the name of a component (jitkit plugins list --parts)"
        raise PluginError(f"unknown component {shown(unknown[0])}", expected, hint=hint)
    results = []
    with tempfile.TemporaryDirectory() as root:
        for kind, name in offered:
            if names is None or name in names:
                folder = Path(root, kind.table, name)
                folder.mkdir(parents=True)
                results += check(registry.component(kind.table, name).tiny(folder), kind.table)
    return results


def _kind(table: str) -> Kind:
    if table not in KIND_OF_TABLE:
        raise PluginError(f"kind {shown(table)}", f"one of {', '.join(KIND_OF_TABLE)}")
    return KIND_OF_TABLE[table]
