"""Imports flow one way, and looking around costs no torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = [
    {"errors", "near_names", "kinds"},
    {"component", "files", "manifest", "storage"},
    {"protocols"},
    {"hookspecs", "codecs", "images", "execution"},
    {"discovery"},
    {"zoo"},
    {"diffusion", "data", "infill"},
    {"vocabulary"},
    {"pipeline"},
    {"assembly"},
    {"zoo_check", "manifest_schema"},
    {"training", "evaluation", "checkpoints", "export", "filmstrip", "report"},
    {"loading", "models", "ablation", "bench"},
    {"testing"},
    {"cli"},
    {"__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports when it runs, not those that only types need."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_core_imports_flow_one_way() -> None:
    for path in (ROOT / "jitkit").rglob("*.py"):
        own = path.relative_to(ROOT / "jitkit").parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for module in imported(path):
            parts = module.split(".")
            assert parts[0] != "jitkit_plugins", f"{path} imports a built-in plugin"
            if parts[0] == "jitkit" and len(parts) > 1 and parts[1] in RANK:
                assert RANK[parts[1]] <= RANK[own], f"{path} imports {module}, which stands above it"


def test_every_core_module_has_its_layer() -> None:
    modules = {p.stem for p in (ROOT / "jitkit").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert modules - {"__init__"} <= set(RANK)


def test_plugin_families_never_import_each_other() -> None:
    for path in (ROOT / "plugins" / "jitkit_plugins").rglob("*.py"):
        family = path.parent.name
        for module in imported(path):
            if module.startswith("jitkit_plugins."):
                assert module.split(".")[1] == family, f"{path} imports {module}"


def test_only_checkpoints_reads_pickled_weights() -> None:
    banned = ("torch.load(", "import pickle", "shell=True", "allow_pickle=True", "trust_remote_code")
    for path in [*(ROOT / "jitkit").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]:
        if path.name != "checkpoints.py":
            assert not [word for word in banned if word in path.read_text()], path


@pytest.mark.parametrize(
    ("command", "unwanted"),
    [
        ("--help", {"torch", "pydantic"}),
        ("train --help", {"torch"}),
        ("--version", {"torch", "pydantic"}),
        ("plugins list", {"torch"}),
        ("zoo list", {"torch"}),
        ("zoo check jit-nano", {"torch._dynamo", "sympy"}),  # a network that is only described draws no weights
    ],
)
def test_looking_around_imports_no_more_than_it_needs(command: str, unwanted: set[str]) -> None:
    """Components are pydantic models, half of what `--help` would cost; typer itself reads options of a command with it."""
    run(command, unwanted)


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
