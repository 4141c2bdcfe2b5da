"""GPT-2, the standard model for scoring generated text (extra: gen-ppl)."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import Field
from torch import Tensor

from jitkit.component import Component
from jitkit.errors import shown
from jitkit.evaluation.context import CannotMeasureError, MissingPackageError

HUB = "openai-community/gpt2-large"
VARIABLE = "JITKIT_GPT2"  # environment variable: a folder or hub name to use instead of gpt2-large
MAX_TOKENS = 1024  # of a text


@dataclass(frozen=True)
class Gpt2:
    """A GPT-2 network and its tokenizer, from `transformers`."""

    network: Any
    tokenizer: Any

    @property
    def num_parameters(self) -> int:
        """The number of parameters; 774,030,080 for gpt2-large."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def ids(self, text: str, ended: bool) -> Tensor:
        """Return the ids [n] int64 of a text, at most `MAX_TOKENS`, plus an end-of-text id if it `ended`."""
        ids = self.tokenizer(text)["input_ids"] + [self.tokenizer.eos_token_id] * ended
        return torch.tensor(ids[: min(MAX_TOKENS, self.network.config.n_positions)], dtype=torch.long)

    @torch.inference_mode()
    def nats(self, ids: Tensor) -> Tensor:
        """Return -log p [n - 1] of each of `ids` [n] except the first, given those before it."""
        logits = self.network(ids[None].to(self.network.device)).logits[0, :-1]
        nats: Tensor = -logits.float().log_softmax(-1).cpu().gather(1, ids[1:, None])[:, 0]
        return nats

    @torch.inference_mode()
    def features(self, ids: Tensor) -> Tensor:
        """Return the last hidden state [d] of `ids` [n], n >= 1."""
        states: Tensor = self.network(ids[None].to(self.network.device), output_hidden_states=True).hidden_states[-1]
        return states[0, -1].float().cpu()


class Gpt2Metric(Component):
    """Base of the metrics that use GPT-2."""

    model: Annotated[str, Field(description="folder or hub name of a GPT-2; gpt2-large if empty")] = ""

    @classmethod
    def tiny(cls, folder: Path) -> Self:
        """Return one with a tiny GPT-2."""
        return cls(model=str(write_tiny_gpt2(folder)))

    def gpt2(self, device: torch.device) -> Gpt2:
        """Return the GPT-2. Raises CannotMeasureError if it is missing."""
        return load_gpt2(self.model, device, self.name)


@lru_cache(maxsize=1)
def load_gpt2(model: str, device: torch.device, metric: str) -> Gpt2:
    """Return the GPT-2 called `model`, a folder or hub name; "" means the one in `VARIABLE`, or else `HUB`.

    Nothing is downloaded (gpt2-large has 3 GB): hub models are read from the local hub cache. Weights are read from
    safetensors, and no code next to them is run. Raises CannotMeasureError if anything is missing.
    """
    try:
        from transformers import GPT2LMHeadModel, GPT2TokenizerFast
        from transformers.utils import logging
    except ImportError as error:
        hint, expected = f"pip install 'jitkit[{metric.replace('_', '-')}]'", "an installed one, to run GPT-2"
        raise MissingPackageError("no package transformers", expected, field=metric, hint=hint) from error

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    named = model or os.environ.get(VARIABLE, "")
    try:
        tokenizer = GPT2TokenizerFast.from_pretrained(named or HUB, local_files_only=True)
        network, info = GPT2LMHeadModel.from_pretrained(
            named or HUB, local_files_only=True, use_safetensors=True, output_loading_info=True, dtype=torch.float32
        )
    except Exception as error:  # transformers raises many kinds of errors
        found = f"no GPT-2 in {shown(named)}" if named else "no local gpt2-large"
        hint = f"hf download {HUB}, or set {VARIABLE} to a folder with its files"
        raise CannotMeasureError(found, "weights and tokenizer", field=metric, hint=hint) from error
    if info["missing_keys"]:
        found = f"{named or HUB} without {sorted(info['missing_keys'])[0]}"
        raise CannotMeasureError(found, "all weights", field=metric)
    return Gpt2(network.eval().to(device), tokenizer)


def write_tiny_gpt2(folder: Path) -> Path:
    """Write a random two-layer GPT-2 with a byte tokenizer in hub format and return its folder. For tests."""
    place = folder / "gpt2"
    if find_spec("transformers") is None:
        return place

    from transformers import GPT2Config, GPT2LMHeadModel
    from transformers.convert_slow_tokenizer import bytes_to_unicode
    from transformers.utils import logging

    logging.disable_progress_bar()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"vocab_size": 257, "n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 2}
        GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=256, eos_token_id=256)).save_pretrained(place)
    vocabulary = {character: number for number, character in enumerate([*bytes_to_unicode().values(), "<|endoftext|>"])}
    (place / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (place / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return place
