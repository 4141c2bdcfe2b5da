"""Every conformance test on every built-in component, through the public interface."""

import pytest

from jitkit.discovery import Registry, create_plugin_manager
from jitkit.kinds import KINDS
from jitkit.testing import check, check_named
from tests.extras import need

REGISTRY = Registry(create_plugin_manager())
NEEDS = {"gen_ppl": "transformers", "mauve": "mauve", "parquet": "pyarrow", "hub": "datasets"}  # extras
COMPONENTS = [(kind, name) for kind in KINDS for name in REGISTRY.catalog(kind.table).names()]


def test_every_kind_has_a_built_in() -> None:
    assert {kind.name for kind, _ in COMPONENTS} == {kind.name for kind in KINDS}


@pytest.mark.parametrize(
    ("kind", "name"), [pytest.param(*each, id=f"{each[0].table}-{each[1]}") for each in COMPONENTS]
)
def test_a_builtin_conforms(kind, name, tmp_path) -> None:
    need(NEEDS.get(name))
    results = check(REGISTRY.component(kind.table, name).tiny(tmp_path), kind.table)
    assert results
    assert not [result for result in results if result.failure]


@pytest.mark.parametrize(
    ("kind", "name"), [pytest.param(*each, id=f"{each[0].table}-{each[1]}") for each in COMPONENTS]
)
def test_every_setting_has_a_description(kind, name) -> None:
    member = REGISTRY.component(kind.table, name)
    assert member.summary().endswith(".") or member.summary()
    assert all(field.description for field in member.model_fields.values()), "every key has a description"


def test_a_broken_component_fails() -> None:
    from jitkit_plugins.schedules.flow import Flow

    class Backwards(Flow):
        """Time runs backwards."""

        name = "backwards"

        def levels(self, t):
            return super().levels(1 - t)

    broken = [result.requirement for result in check(Backwards(), "schedule") if result.failure]
    assert broken


def test_components_are_checked_by_name() -> None:
    results = check_named(REGISTRY, ["flow"])
    assert {result.kind for result in results} == {"noise schedule", "objective"}
