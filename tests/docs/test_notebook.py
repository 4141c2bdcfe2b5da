"""The notebook runs from top to bottom, and the outputs stored in it are complete, small, and free of this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.extras import need

NOTEBOOK = ROOT / "docs" / "notebooks" / "first-look.ipynb"
MAX_SIZE = 500_000  # bytes, with outputs


def code_cells(notebook) -> list:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def shown_by(notebook) -> list[set[str]]:
    """Return the formats of each code cell's outputs."""
    return [{kind for output in cell["outputs"] for kind in output.get("data", {})} for cell in code_cells(notebook)]


def test_its_stored_outputs_are_complete_and_small() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text.encode()) < MAX_SIZE
    notebook = json.loads(text)
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} == {"execute_result", "display_data"}  # no error or warning
    for private in ("/work/", "/tmp/", "/root", "/home", str(Path.home())):
        assert private not in json.dumps(outputs)
    for kind in ("image/png", "image/svg+xml", "text/html"):
        assert any(kind in formats for formats in shown_by(notebook))


@pytest.mark.slow
def test_it_runs_with_jitkit_and_jupyter_alone(tmp_path, monkeypatch, programs_of) -> None:
    need("nbclient")
    import nbformat
    from nbclient import NotebookClient

    kernel = tmp_path / "kernels" / "jitkit" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    python = str(programs_of("jitkit", "ipykernel") / "python")
    start = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": start, "display_name": "jitkit", "language": "python"}))
    for name, value in {
        "JUPYTER_PATH": str(tmp_path),
        "JITKIT_NOTEBOOK_STEPS": "2",
        "JUPYTER_RUNTIME_DIR": str(tmp_path),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    stored = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    options = {"kernel_name": "jitkit", "timeout": 300, "startup_timeout": 300}
    NotebookClient(notebook, resources=place, **options).execute()
    assert shown_by(notebook) == shown_by(stored)
    results = [output["data"]["text/plain"] for cell in code_cells(notebook) for output in cell["outputs"][-1:]]
    assert "'A text becomes a small picture, and the picture a text again.'" in results
