"""What all competitors share: manifest, text, tokenizer, windows, and their order per seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from jitkit.assembly import Components, build_codec
from jitkit.discovery import PluginManager
from jitkit.protocols import Tokenizer
from jitkit.recipe import PreparedText, open_recipe, prepared_text


@dataclass(frozen=True)
class SharedRecipe:
    """A manifest with overrides, and the text to train on (None: the manifest's)."""

    manifest: str  # a path or zoo id
    data: Path | None
    overrides: tuple[str, ...]
    manager: PluginManager
    device: torch.device
    console: Console

    def components(self, *more: str) -> Components:
        """Return the components of the manifest with `more` overrides."""
        # Token models are not compiled, and seconds are compared. `--set train.compile=on` still compiles the others.
        overrides = ["train.compile=off", *self.overrides, *more]
        return open_recipe(self.manifest, data=self.data, overrides=overrides, manager=self.manager)

    @cached_property
    def common(self) -> Components:
        """The components before a seed is set."""
        return self.components()

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of every competitor."""
        return self.common.tokenizer.build(self.common.files)

    @cached_property
    def length(self) -> int:
        """Tokens per window: the capacity of an image of the manifest."""
        return build_codec(self.common, self.tokenizer).capacity

    @cached_property
    def text(self) -> PreparedText:
        """The tokenized text of both splits, in windows."""
        return prepared_text(self.common, self.tokenizer, self.length)

    @cached_property
    def training_text(self) -> str:
        """The training text of every competitor and of the n-gram model."""
        return "\n".join(self.common.data.build(self.common.files).documents("train"))

    def held_out(self, num: int) -> Tensor:
        """Return at most `num` validation windows [n, L], evenly spread."""
        windows = self.text.validation
        num = min(num, len(windows.consecutive))
        return windows.tokens([windows.consecutive[i * len(windows.consecutive) // num] for i in range(num)])
