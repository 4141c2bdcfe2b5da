"""Imports flow one way, and looking around costs no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "jitkit"

# Lowest first. A module imports only from modules before it in this list, or from its own folder. TYPE_CHECKING imports count.
ORDER = (
    "openmp", "interpreter", "errors", "filesystem", "kinds", "component", "files", "storage", "output", "terminal", "progress", "documents", "manifest", "protocols",
    "parallel", "execution",
    "diffusion", "data", "codecs", "tokenization", "infill", "generated", "pipeline", "pictures", "hookspecs", "discovery", "assembly", "hub", "zoo", "recipe",
    "checkpoints", "models", "report", "evaluation", "training", "bench", "plan", "ablation", "api", "harness", "testing", "scaffold", "cli", "__main__",
)  # fmt: skip
RANK = {name: rank for rank, name in enumerate(ORDER)}


def imported(path: Path) -> set[str]:
    """Return every module that a file imports, at any place and also only for types."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def module_of(path: Path) -> str:
    """Return the dotted name of a file of the core."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in CORE.rglob("*.py") if path != CORE / "__init__.py"}


def folder_of(module: str) -> str:
    """Return the folder (or top-level module) of the core that a module belongs to."""
    return module.split(".")[1]


def test_every_folder_has_its_place_in_the_order() -> None:
    assert {folder_of(module) for module in MODULES} == set(ORDER)


def test_no_module_imports_from_a_folder_above_its_own() -> None:
    upward = [
        f"{module} imports {other}"
        for module, path in MODULES.items()
        for other in imported(path) & MODULES.keys()
        if RANK[folder_of(other)] > RANK[folder_of(module)]
    ]
    assert not upward, "\n".join(sorted(upward))


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {
        module: {
            other for other in imported(path) & MODULES.keys() if other != module and not module.startswith(other + ".")
        }
        for module, path in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_core_never_imports_the_built_in_plugins() -> None:
    for module, path in MODULES.items():
        assert not any(other.split(".")[0] == "jitkit_plugins" for other in imported(path)), module


def test_plugin_families_never_import_each_other() -> None:
    """They may import the library of grammars, which imports none of them."""
    for path in (ROOT / "plugins" / "jitkit_plugins").rglob("*.py"):
        family = path.parent.name
        for module in imported(path):
            if module.startswith("jitkit_plugins."):
                assert module.split(".")[1] in (family, "grammar"), f"{path} imports {module}"


def test_only_checkpoints_reads_pickled_weights() -> None:
    banned = ("torch.load(", "import pickle", "shell=True", "allow_pickle=True", "trust_remote_code")
    for path in [*(ROOT / "jitkit").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]:
        if True:
            assert not [word for word in banned if word in path.read_text()], path


@pytest.mark.parametrize(
    ("command", "unwanted"),
    [
        (
            "--help",
            {"torch", "pydantic", "rich", "typer.rich_utils", "tomllib", "jitkit.cli.train", "jitkit.cli.console"},
        ),
        ("train --help", {"torch", "pydantic", "rich.markdown", "jitkit.cli.generate"}),
        ("codec --help", {"torch", "pydantic", "rich", "jitkit.cli.codec"}),
        ("--version", {"torch", "pydantic", "rich"}),
        ("plugins list", {"torch"}),
        ("plugins list --parts", {"torch"}),
        ("codec list", {"torch"}),
        ("plan --help", {"torch", "pydantic", "rich.markdown"}),
        ("zoo schema", {"torch"}),
        ("zoo show jit-nano", {"torch"}),
        ("zoo list", {"torch"}),
        # a network that is only described draws no weights
        pytest.param("zoo check jit-nano", {"torch._dynamo", "sympy"}, marks=pytest.mark.slow),
    ],
)
def test_looking_around_imports_no_more_than_it_needs(command: str, unwanted: set[str]) -> None:
    """Components are pydantic models, half of what `--help` would cost; typer itself reads options of a command with it."""
    run(command, unwanted)


@pytest.mark.slow
def test_training_loads_no_compiler_where_nothing_is_compiled(tmp_path: Path) -> None:
    """torch's would take as long as torch itself, and 80 MB."""
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 64)
    settings = ["train.max_steps=1", "train.batch_size=2", "train.validation_windows=2", "backbone.depth=1"]
    sets = " ".join(f"--set {setting}" for setting in settings)
    out = tmp_path / "run"
    run(f"train jit-nano --data {tmp_path / 'text.txt'} --out {out} --device cpu {sets}", {"torch._dynamo", "sympy"})
    assert (out / "best_model.pth").exists()


def run(command: str, unwanted: set[str]) -> None:
    """Run a command in a process of its own, which fails when it has imported what is not wanted."""
    code = (
        "import sys; sys.argv = ['jitkit', *sys.argv[1:]]\n"
        "from jitkit.cli import main\n"
        "try: main()\n"
        f"finally: assert not sys.modules.keys() & {unwanted}, 'imported'"
    )
    done = subprocess.run([sys.executable, "-c", code, *command.split()], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
