"""The library leaves the state of the process as it was: generators, threads, dtypes, modes, warnings, signals, environment."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from jitkit.assembly import assemble
from jitkit.checkpoints.format import save_checkpoint
from jitkit.checkpoints.open import load_pipeline, open_model
from jitkit.discovery import create_plugin_manager
from jitkit.errors import UsageError
from jitkit.evaluation.runner import Scope, evaluate_checkpoint
from jitkit.recipe import open_recipe
from jitkit.testing.check import check_named
from jitkit.training.run import Request, train
from tests.tiny import TINY, checkpoint_of, resolved

CPU = torch.device("cpu")


def global_state() -> dict[str, Any]:
    """Return what other code in this process may depend on."""
    return {
        "torch generator": torch.get_rng_state().tolist(),
        "random": random.getstate(),
        "numpy": str(np.random.get_state()),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "fill": torch.utils.deterministic.fill_uninitialized_memory,
        "precision": torch.get_float32_matmul_precision(),
        "attention": (torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.cudnn_sdp_enabled()),
        "denormals": float(torch.tensor(1e-40) * 1.0) != 0.0,
        "warnings": (warnings.showwarning, list(warnings.filters)),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        "environment": {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        "folder": Path.cwd(),
        "recursion": sys.getrecursionlimit(),
        "floating point": np.geterr(),
        "print options": np.get_printoptions(),
        "logging": (logging.getLogger().level, logging.getLogger().handlers[:], logging.root.manager.disable),
        "standard streams": (sys.stdout, sys.stderr, sys.excepthook),
    }


@pytest.fixture
def unchanged() -> Iterator[None]:
    """Fail if the test changes the state of the process."""
    torch.manual_seed(123)
    before = global_state()
    yield
    after = global_state()
    for name, value in before.items():
        assert after[name] == value, name


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "best_model.pth"
    save_checkpoint(path, checkpoint_of(assemble(resolved())))
    return path


@pytest.mark.usefixtures("unchanged")
def test_loading_and_generating(checkpoint: Path) -> None:
    load_pipeline(checkpoint).generate([1, 2])


@pytest.mark.usefixtures("unchanged")
def test_evaluating(checkpoint: Path) -> None:
    evaluate_checkpoint(open_model(checkpoint), scope=Scope(limit=2, quick=True), metrics=["validation", "likelihood"])


@pytest.mark.usefixtures("unchanged")
def test_checking_a_plugin() -> None:
    from jitkit.discovery import Registry

    assert not [result for result in check_named(Registry(create_plugin_manager()), ["validation"]) if result.failure]


@pytest.mark.slow
@pytest.mark.usefixtures("unchanged")
def test_training(tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    components = open_recipe(path, overrides=["train.max_steps=2", "train.batch_size=4", "train.validation_windows=1"])
    train(Request(components, create_plugin_manager(), tmp_path / "run", CPU, Console(quiet=True)))


def test_another_default_dtype_is_refused(checkpoint: Path) -> None:
    """Weights, noise and recorded results are float32; a mixture would fail deep inside of torch, or not at all."""
    pipeline = load_pipeline(checkpoint)
    torch.set_default_dtype(torch.float64)
    try:
        for action in (lambda: load_pipeline(checkpoint), lambda: pipeline.generate([1])):
            with pytest.raises(
                UsageError, match=r"found torch's default dtype torch\.float64; expected torch\.float32"
            ):
                action()
    finally:
        torch.set_default_dtype(torch.float32)
