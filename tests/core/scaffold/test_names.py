"""The names of a new plugin are valid everywhere, and never taken."""

from __future__ import annotations

import keyword
from pathlib import Path

import pytest

from jitkit.discovery import Registry, create_plugin_manager
from jitkit.errors import UsageError
from jitkit.files import member_path
from jitkit.kinds import KIND_OF_WORD, KINDS
from jitkit.scaffold.names import MAX_LENGTH, plugin_names

REGISTRY = Registry(create_plugin_manager())
UNUSUAL = ("class", "none", "con", "nul", "a", "x9", "list", "torch", "my-table", "my_table", "x" * MAX_LENGTH)


def problem_of(kind: str, name: str) -> str:
    with pytest.raises(UsageError) as caught:
        plugin_names(kind, name, REGISTRY)
    (problem,) = caught.value.problems
    return str(problem)


@pytest.mark.parametrize("name", UNUSUAL)
def test_keywords_devices_and_modules_are_good_names(name: str) -> None:
    """The prefix and the kind make them so."""
    names = plugin_names("codec", name, REGISTRY)
    for identifier in (names.module, names.class_name):
        assert identifier.isidentifier()
        assert not keyword.iskeyword(identifier)
    assert member_path(Path(), names.distribution)
    assert names.name == name


def test_names_follow_from_the_name_of_the_component() -> None:
    names = plugin_names("schedule", "very_slow-start", REGISTRY)
    assert names.distribution == "jitkit-very-slow-start"
    assert names.module == "jitkit_very_slow_start"
    assert names.class_name == "VerySlowStartSchedule"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Mine", "mine"),
        ("jitkit-mine", "mine"),
        ("jitkit_mine", "mine"),
        ("my codec", "my-codec"),
        ("my.codec", "my-codec"),
        ("2fast", "fast"),
        ("-mine", "mine"),
        ("mine-", "mine"),
        ("a--b", "a-b"),
        ("x" * (MAX_LENGTH + 1), "x" * MAX_LENGTH),
        ("../../etc/passwd", "etc-passwd"),
        ("mine\n", "mine"),
        ("", ""),
        ("42", ""),
        ("ähm", "hm"),
        ("日本", ""),
        ("\x1b[31m\u202e", "m"),
    ],
)
def test_an_invalid_name_is_one_line_with_the_closest_valid_one(name: str, meant: str) -> None:
    problem = problem_of("codec", name)
    assert problem.startswith("NAME: found ")
    assert "expected at most 30 lowercase letters and digits" in problem
    assert problem.endswith(f" Did you mean {meant}?" if meant else "beginning with a letter.")
    assert problem.isprintable()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.word)
def test_the_name_of_an_installed_component_is_taken(kind) -> None:
    taken = REGISTRY.catalog(kind.table).names()[0]
    assert f"found {taken!r}, which is the name of a {kind.name} of jitkit " in problem_of(kind.word, taken)


def test_the_name_of_an_installed_package_is_taken() -> None:
    assert "found 'plugins', whose package jitkit_plugins is installed;" in problem_of("codec", "plugins")


def test_an_unknown_kind_lists_the_kinds_and_the_closest_one() -> None:
    assert problem_of("codek", "mine").endswith(f"expected one of {', '.join(KIND_OF_WORD)}. Did you mean codec?")
    assert len(KIND_OF_WORD) == len(KINDS)
