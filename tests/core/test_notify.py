"""Notification hooks of plugins are called independently."""

from types import ModuleType

from jitkit.discovery import create_plugin_manager
from jitkit.hookspecs import hookimpl


def plugin(name, implementation):
    module = ModuleType(name)
    module.jitkit_evaluated = hookimpl(implementation)
    return module


def test_a_failing_plugin_is_named_and_the_others_are_notified(tmp_path):
    facts, warnings = [], []

    def broken(folder, report):
        raise SystemError("out of order")

    plugins = [plugin("one", lambda report: facts.append(report)), plugin("two", broken)]
    plugins.append(plugin("three", lambda folder, report: facts.append(folder)))
    manager = create_plugin_manager(plugins, autoload=False)
    manager.notify("jitkit_evaluated", warnings.append, folder=tmp_path, report={"a": 1})
    assert {str(fact) for fact in facts} == {str({"a": 1}), str(tmp_path)}
    assert len(warnings) == 1
    assert "two" in warnings[0]
    assert "jitkit_evaluated: SystemError: out of order" in warnings[0]
