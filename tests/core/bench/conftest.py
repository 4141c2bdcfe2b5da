"""The tiny model, ready to be measured."""

from __future__ import annotations

import pytest
import torch

from jitkit.bench.target import build_target
from tests.tiny import resolved

QUICK = ("train.batch_size=4", "train.compile=off", "train.max_steps=20")


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Return a function that makes the tiny model, under overrides, ready; its text is a few windows long."""
    text = tmp_path / "text.txt"
    text.write_text("It was the best of times, it was the worst of times.\n" * 60)
    monkeypatch.setenv("JITKIT_CACHE", str(tmp_path / "cache"))

    def made(*overrides: str):
        tiny = resolved(*QUICK, "data.use=text", f"data.path={text.name}", *overrides, folder=tmp_path)
        return build_target(tiny, torch.device("cpu"), note=lambda line: None)

    return made
