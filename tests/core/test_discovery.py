"""Loading plugins. The tests use real distributions: folders with `*.dist-info` on the path."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from jitkit.assembly import assemble, resolve
from jitkit.checkpoints.format import save_checkpoint
from jitkit.checkpoints.open import open_model
from jitkit.cli import main
from jitkit.component import Component
from jitkit.discovery import PluginManager, Registry, create_plugin_manager
from jitkit.errors import PluginError
from jitkit.files import Files
from jitkit.hookspecs import hookimpl
from jitkit.manifest.reader import parse_manifest
from tests.tiny import TINY, checkpoint_of, resolved

PLUGIN = """
import jitkit

class Mine(jitkit.Component):
    name = {name!r}

@jitkit.hookimpl
def jitkit_codecs():
    return [Mine]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return install(distribution, code, *entry points), which makes a distribution importable."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(distribution: str, code: str, *names: str) -> None:
        module = distribution.replace("-", "_")
        monkeypatch.delitem(sys.modules, module, raising=False)
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{module}-0.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.2\n")
        lines = "".join(f"{name} = {module}\n" for name in names or (module,))
        (info / "entry_points.txt").write_text(f"[jitkit]\n{lines}")

    return install


def names(manager: PluginManager) -> list[str]:
    return Registry(manager).catalog("codec").names()


def test_a_third_party_plugin_is_loaded_by_its_entry_point(install) -> None:
    install("jitkit-mine", PLUGIN.format(name="mine"))
    manager = create_plugin_manager()
    assert "mine" in names(manager)
    assert Registry(manager).catalog("codec").plugin_of("mine").startswith("jitkit-mine 0.2")


def test_built_ins_are_loaded_by_entry_points_too() -> None:
    manager = create_plugin_manager()
    assert not manager.failures
    assert {origin.distribution for origin in manager.origins.values()} == {"jitkit"}
    assert not create_plugin_manager(autoload=False).get_plugins()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import surely_not_installed", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("import jitkit\n@jitkit.hookimpl\ndef jitkit_codec(): return []", "unknown hook 'jitkit_codec'"),
        ("import jitkit\n@jitkit.hookimpl\ndef jitkit_codecs(surplus): return []", "PluginValidationError"),
    ],
)
def test_a_broken_plugin_does_not_affect_others(install, code: str, reason: str) -> None:
    install("jitkit-broken", code)
    install("jitkit-mine", PLUGIN.format(name="mine"))
    manager = create_plugin_manager()
    (failure,) = manager.failures
    assert reason in failure.reason
    assert "pip uninstall jitkit-broken" in str(failure.error())
    assert "mine" in names(manager)


@pytest.mark.slow
def test_a_plugin_that_hangs_does_not_stop_other_commands(install, tmp_path: Path) -> None:
    install("jitkit-hangs", "import time\nwhile True: time.sleep(9)")
    install("jitkit-mine", PLUGIN.format(name="mine"))
    code = "import jitkit.discovery.loader as loader, jitkit.cli as cli\nloader.IMPORT_SECONDS = 0.5\ncli.main()"
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    for command, output in (("zoo list", "jit-nano"), ("codec list", "mine"), ("plugins list", "jitkit_mine")):
        done = subprocess.run(
            [sys.executable, "-c", code, *command.split()],
            env=os.environ | {"PYTHONPATH": paths},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert output in done.stdout
    assert "TimeoutError: its import does not end within 0.5 s" in done.stderr


def test_a_component_of_an_older_interface_is_named_with_its_plugin(install) -> None:
    """`Mine` has a name, but no `build`."""
    install("jitkit-old", PLUGIN.format(name="mine"))
    registry = Registry(create_plugin_manager())
    with pytest.raises(PluginError, match="mine"):
        resolve(parse_manifest(TINY, "tiny.toml", ["codec={use='mine'}"]), registry, Files(Path()))


def test_an_unknown_component_lists_the_plugins_that_failed_to_load(install) -> None:
    install("jitkit-broken", "import surely_not_installed")
    with pytest.raises(PluginError, match="unknown codec 'hsv'") as caught:
        Registry(create_plugin_manager()).component("codec", "hsv")
    assert "jitkit-broken 0.2" in str(caught.value)


def test_two_plugins_with_one_component_name_are_both_named(install) -> None:
    install("jitkit-one", PLUGIN.format(name="mine"))
    install("jitkit-two", PLUGIN.format(name="mine"))
    with pytest.raises(PluginError, match="one plugin per name") as caught:
        names(create_plugin_manager())
    assert "jitkit-one" in str(caught.value)
    assert "jitkit-two" in str(caught.value)


def test_two_distributions_may_use_one_entry_point_name(install) -> None:
    install("jitkit-one", PLUGIN.format(name="one"), "codec")
    install("jitkit-two", PLUGIN.format(name="two"), "codec")
    assert {"one", "two"} <= set(names(create_plugin_manager()))


def test_the_allow_list_excludes_other_plugins(install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("jitkit-one", PLUGIN.format(name="one"))
    install("jitkit-two", PLUGIN.format(name="two"))
    monkeypatch.setenv("JITKIT_PLUGINS", "jitkit-two")
    found = names(create_plugin_manager())
    assert "two" in found
    assert "one" not in found


def test_a_model_names_the_plugin_that_the_allow_list_excludes(install, tmp_path: Path, monkeypatch) -> None:
    install("jitkit-hsv", PLUGIN.format(name="hsv"))
    checkpoint = checkpoint_of(assemble(resolved()))
    manifest = checkpoint.manifest.replace('use = "code"', 'use = "hsv"')
    versions = {**checkpoint.versions, "jitkit-hsv": "0.2"}
    save_checkpoint(tmp_path / "x.pth", replace(checkpoint, manifest=manifest, versions=versions))
    monkeypatch.setenv("JITKIT_PLUGINS", "")
    with pytest.raises(PluginError, match=r"'hsv'.*saved with jitkit-hsv 0\.2, which JITKIT_PLUGINS excludes"):
        open_model(tmp_path / "x.pth").pipeline()


def test_plugins_check_exits_with_5_for_a_broken_component_or_plugin(install, monkeypatch, capsys) -> None:
    install("jitkit-mine", PLUGIN.format(name="mine"))
    monkeypatch.setattr(sys, "argv", ["jitkit", "plugins", "check", "mine"])
    with pytest.raises(SystemExit, match="5"):
        main()
    output = capsys.readouterr()
    assert "BROKEN codec mine: " in output.out
    assert output.err.startswith("jitkit: error: codec mine: found a failed conformance test: ")
    install("jitkit-broken", "import surely_not_installed")
    monkeypatch.setattr(sys, "argv", ["jitkit", "plugins", "check"])
    with pytest.raises(SystemExit, match="5"):
        main()
    assert "plugin jitkit-broken 0.2 (entry point jitkit_broken): found ModuleNotFoundError" in capsys.readouterr().err


class Anonymous(Component):
    """Has no name."""


@pytest.mark.parametrize("result", [[Anonymous], [object], ["bits"], 3])
def test_a_hook_result_that_is_not_a_component_is_refused(result: object) -> None:
    class Plugin:
        @hookimpl
        def jitkit_codecs(self):
            return result

    with pytest.raises(PluginError, match="jitkit_codecs"):
        names(create_plugin_manager([Plugin()], autoload=False))


def test_given_plugins_are_checked_immediately() -> None:
    @hookimpl
    def jitkit_nonsense() -> None: ...

    with pytest.raises(PluginError, match="unknown hook"):
        create_plugin_manager([SimpleNamespace(jitkit_nonsense=jitkit_nonsense)], autoload=False)


def test_managers_are_independent() -> None:
    class Mine(Component):
        """Mine."""

        name = "mine"

    class Plugin:
        @hookimpl
        def jitkit_codecs(self):
            return [Mine]

    assert names(create_plugin_manager([Plugin()], autoload=False)) == ["mine"]
    assert names(create_plugin_manager(autoload=False)) == []
