"""The core names no component of the built-in plugins: components expose what the core needs to know about them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from jitkit.discovery import Registry, create_plugin_manager
from jitkit.kinds import KINDS

CORE = Path(__file__).parents[2] / "jitkit"

# Words that are also names of components, where they mean something else.
ALLOWED = {
    "ablation/shares.py": {"bits": "the unit"},
    "api/score.py": {"text": "argument in a message"},
    "checkpoints/model_card.py": {"text": "kind of data in the front matter"},
    "cli/ablate.py": {"bytes": "a size"},
    "cli/data.py": {"bytes": "a size", "validation": "the split"},
    "cli/frontier.py": {"text": "column of a table"},
    "cli/generate.py": {"text": "JSON key"},
    "cli/tokenizer.py": {"text": "column of a table"},
    "cli/usage.py": {"text": "a parameter"},
    "data/columns.py": {"text": "name of a column"},
    "data/corpus.py": {"validation": "the split"},
    "data/split.py": {"validation": "the split"},
    "data/windows.py": {"validation": "the split"},
    "data/text_files.py": {"text": "JSON key of a document"},
    "errors.py": {"code": "JSON key: exit code"},
    "cli/checkpoint.py": {"bytes": "a size"},
    "evaluation/context.py": {"text": "noun in a message"},
    "evaluation/frontier.py": {"text": "JSON key of a row"},
    "evaluation/held_out.py": {"validation": "the split"},
    "evaluation/texts.py": {"text": "noun in a message"},
    "evaluation/validation.py": {"validation": "name of a random stream"},
    "hub/cache.py": {"hub": "name of a folder"},
    "hub/client.py": {"hub": "name of the extra"},
    "manifest/schema.py": {
        "cosine": "learning rate schedule",
        **dict.fromkeys(("validation", "token_recovery", "text_recovery", "likelihood"), "defaults of schema 1"),
    },
    "protocols/data_source.py": {"validation": "the split"},
    "report/charts.py": {"text": "JSON key of a row", "validation": "label of a curve"},
    "report/page.py": dict.fromkeys(("gen_ppl", "mauve", "ode_likelihood"), "labels for keys of recorded reports"),
    "report/plot.py": {"text": "SVG element"},
    "report/run_page.py": {"text": "key for the template"},
    "report/svg.py": {"text": "SVG element"},
    "storage/atomic.py": {"bytes": "a size"},
    "storage/png.py": {"palette": "color type of PNG"},
    "tokenization/report.py": {"bytes": "a size"},
    "tokenization/ranks.py": {"bytes": "a size"},
    "training/budget.py": {"validation": "noun in a message"},
    "training/lr_schedule.py": {"cosine": "learning rate schedule"},
}
TABLES = {kind.table for kind in KINDS}  # the metric `codec` has the name of a table


@pytest.fixture(scope="module")
def names() -> set[str]:
    """The names of all built-in components."""
    registry = Registry(create_plugin_manager())
    return {name for kind in KINDS for name in registry.catalog(kind.table).names()} - TABLES


def strings_in(path: Path) -> set[str]:
    """Return the string constants in a file."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_the_core_names_no_component(names: set[str]) -> None:
    named = {
        str(path.relative_to(CORE)): sorted(found)
        for path in sorted(CORE.rglob("*.py"))
        if (found := strings_in(path) & names - ALLOWED.get(str(path.relative_to(CORE)), {}).keys())
    }
    assert not named, f"{named}: use a class attribute of the component, or add another meaning to ALLOWED"


def test_no_exception_is_left_over(names: set[str]) -> None:
    unused = [
        (path, word)
        for path, words in ALLOWED.items()
        for word in words
        if word not in names or not (CORE / path).exists() or word not in strings_in(CORE / path)
    ]
    assert not unused
