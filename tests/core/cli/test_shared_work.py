"""Two processes of torchrun share the work of `jitkit generate` and `jitkit eval`. The result is that of one, bit for bit."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from jitkit.checkpoints.format import load_checkpoint, save_checkpoint
from tests.core.cli.conftest import ENVIRONMENT, run

pytestmark = pytest.mark.slow

METRICS = (
    "validation",
    "token_recovery",
    "text_recovery",
    "step_recovery",
    "infill_recovery",
    "likelihood",
    "generation",
)
NUM = 40  # windows and texts: batches of 16, 16 and 8

# A sampler that fails in the second process only.
PLUGIN = """
import os
import jitkit

@jitkit.hookimpl
def jitkit_samplers():
    from jitkit.errors import InputError
    from jitkit_plugins.samplers.euler import Euler

    class Failing(Euler):
        name = "failing"

        def sample(self, *args, **options):
            if os.environ["RANK"] == "1":
                raise InputError("a broken image", "a whole one", file="a.png")
            return super().sample(*args, **options)

    return [Failing]
"""


@pytest.fixture(scope="module")
def model(make_checkpoint, tmp_path_factory) -> Path:
    """A checkpoint of the tiny model with `NUM` held-out windows."""
    checkpoint = load_checkpoint(make_checkpoint("data={use='text', path='text.txt'}"))
    folder = tmp_path_factory.mktemp("model")
    (folder / "text.txt").write_text("To be, or not to be, that is the question.\n" * 200)
    letters = torch.randint(
        97, 123, (NUM, checkpoint.validation_tokens.shape[1]), generator=torch.Generator().manual_seed(0)
    )
    save_checkpoint(folder / "best_model.pth", replace(checkpoint, validation_tokens=letters))
    return folder / "best_model.pth"


def run_two(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `jitkit` in two processes with one thread each."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "jitkit", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env=ENVIRONMENT | environment, timeout=300, check=False
    )


def test_two_processes_generate_the_texts_and_pictures_of_one(model, tmp_path):
    options = ("generate", model, "-n", NUM, "--seed", 7, "--json", "--device", "cpu")
    alone = run(*options, "--image", tmp_path / "one")
    together = run_two(*options, "--image", tmp_path / "two")
    assert together.returncode == 0, together.stderr
    assert together.stdout.replace(str(tmp_path / "two"), str(tmp_path / "one")) == alone.stdout
    pictures = sorted((tmp_path / "one").iterdir())
    assert len(pictures) == 3 * NUM
    for picture in pictures:
        assert (tmp_path / "two" / picture.name).read_bytes() == picture.read_bytes()


def test_two_processes_measure_the_numbers_of_one(model):
    options = ("eval", model, "--json", "--device", "cpu", *(word for name in METRICS for word in ("--metric", name)))
    alone, together = run(*options), run_two(*options)
    assert together.returncode == 0, together.stderr
    one, two = json.loads(alone.stdout), json.loads(together.stdout)
    assert one["about"].keys() == set(METRICS)
    for report in (one, two):
        del report["seconds"]
    assert one == two


def test_an_error_of_one_process_ends_all_with_one_line(model, tmp_path):
    (tmp_path / "failing.py").write_text(PLUGIN)
    info = tmp_path / "failing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: failing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[jitkit]\nfailing = failing\n")
    path = f"{tmp_path}:{ENVIRONMENT.get('PYTHONPATH', '')}"
    options = ("-n", NUM, "--set", "sampler={use='failing'}", "--device", "cpu")
    done = run_two("generate", model, *options, PYTHONPATH=path)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("jitkit") and "error" in line]
    assert lines == ["jitkit (rank 1 of 2): error: a.png: found a broken image; expected a whole one."]
    assert "Traceback" not in done.stderr.partition("torch/distributed/elastic")[0]
