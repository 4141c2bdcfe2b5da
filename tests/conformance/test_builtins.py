"""Every law over every built-in part, through the door that third parties use."""

import pytest

from jitkit.discovery import Registry, create_plugin_manager
from jitkit.kinds import KINDS
from jitkit.testing import check, check_named
from tests.extras import need

REGISTRY = Registry(create_plugin_manager())
NEEDS = {"gen_ppl": "transformers", "mauve": "mauve"}  # extras
PARTS = [(kind, name) for kind in KINDS for name in REGISTRY.catalog(kind.table).names()]


def test_every_kind_has_a_built_in() -> None:
    assert {kind.name for kind, _ in PARTS} == {kind.name for kind in KINDS}


@pytest.mark.parametrize(("kind", "name"), [pytest.param(*part, id=f"{part[0].table}-{part[1]}") for part in PARTS])
def test_it_keeps_the_laws_of_its_kind(kind, name, tmp_path) -> None:
    need(NEEDS.get(name))
    results = check(REGISTRY.component(kind.table, name).tiny(tmp_path), kind.table)
    assert results
    assert not [result for result in results if result.failure]


@pytest.mark.parametrize(("kind", "name"), [pytest.param(*part, id=f"{part[0].table}-{part[1]}") for part in PARTS])
def test_its_settings_explain_themselves(kind, name) -> None:
    member = REGISTRY.component(kind.table, name)
    assert member.summary().endswith(".") or member.summary()
    assert all(field.description for field in member.model_fields.values()), "every key has a description"


def test_a_broken_part_is_told_from_a_whole_one() -> None:
    from jitkit_plugins.schedules.flow import Flow

    class Backwards(Flow):
        """Time runs backwards."""

        name = "backwards"

        def levels(self, t):
            return super().levels(1 - t)

    broken = [result.requirement for result in check(Backwards(), "schedule") if result.failure]
    assert broken


def test_parts_are_checked_by_name() -> None:
    results = check_named(REGISTRY, ["flow"])
    assert {result.kind for result in results} == {"noise schedule", "objective"}
