"""GPT-2 as a reader of texts: what the field measures generated text with (extra: gen-ppl)."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jitkit.errors import shown
from jitkit.evaluation.context import CannotMeasureError

HUB = "openai-community/gpt2-large"
PLACE = "JITKIT_GPT2"  # in the environment: a folder, or the name of a model on the hub, in place of gpt2-large
CONTEXT = 1024  # tokens of a text that are read


@dataclass(frozen=True)
class Gpt2:
    """A network and its tokenizer, both of `transformers`."""

    network: Any
    tokenizer: Any

    @property
    def num_parameters(self) -> int:
        """Its size, by which gpt2-large (774,030,080) is told from others."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def ids(self, text: str, ended: bool) -> Tensor:
        """Return the ids [n] int64 of a text, at most `CONTEXT`, with GPT-2's end of text behind one that `ended`."""
        ids = self.tokenizer(text)["input_ids"] + [self.tokenizer.eos_token_id] * ended
        return torch.tensor(ids[: min(CONTEXT, self.network.config.n_positions)], dtype=torch.long)

    @torch.inference_mode()
    def nats(self, ids: Tensor) -> Tensor:
        """Return -log p [n - 1] of each of `ids` [n] but the first, after those before it."""
        logits = self.network(ids[None].to(self.network.device)).logits[0, :-1]
        nats: Tensor = -logits.float().log_softmax(-1).cpu().gather(1, ids[1:, None])[:, 0]
        return nats

    @torch.inference_mode()
    def features(self, ids: Tensor) -> Tensor:
        """Return the last layer's state [d] at the last of `ids` [n], n >= 1."""
        states: Tensor = self.network(ids[None].to(self.network.device), output_hidden_states=True).hidden_states[-1]
        return states[0, -1].float().cpu()


def installed() -> bool:
    """Tell whether the package that runs GPT-2 is here."""
    try:
        import transformers  # noqa: F401
    except ImportError:
        return False
    return True


@lru_cache(maxsize=1)
def load_gpt2(model: str, device: torch.device, metric: str) -> Gpt2:
    """Return the GPT-2 in the folder `model`, or of that name on the hub; "" means what the environment says, else `HUB`.

    Nothing is downloaded (gpt2-large has 3 GB): of the hub, what its own tool has brought here is read. Weights are read
    from safetensors, and nothing that lies beside them is run. Raises CannotMeasureError where anything is missing.
    """
    if not installed():
        hint = f"pip install 'jitkit[{metric.replace('_', '-')}]'"
        raise CannotMeasureError("no package transformers", "it, to run GPT-2", field=metric, hint=hint)
    from transformers import GPT2LMHeadModel, GPT2TokenizerFast
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    named = model or os.environ.get(PLACE, "")
    try:
        tokenizer = GPT2TokenizerFast.from_pretrained(named or HUB, local_files_only=True)
        network, info = GPT2LMHeadModel.from_pretrained(
            named or HUB, local_files_only=True, use_safetensors=True, output_loading_info=True, dtype=torch.float32
        )
    except Exception as error:  # as many kinds as there are things that may be wrong with files and networks
        found = f"no GPT-2 in {shown(named)}" if named else "no gpt2-large on this machine"
        hint = f"hf download {HUB}, or {PLACE}=FOLDER with its files"
        raise CannotMeasureError(found, "its weights and tokenizer", field=metric, hint=hint) from error
    if info["missing_keys"]:
        found = f"{named or HUB} without {sorted(info['missing_keys'])[0]}"
        raise CannotMeasureError(found, "all weights of GPT-2", field=metric)
    return Gpt2(network.eval().to(device), tokenizer)


def write_tiny_gpt2(folder: Path) -> Path:
    """Write a GPT-2 of two layers that reads bytes, newly drawn, in the files of the hub; return its folder. For tests."""
    place = folder / "gpt2"
    if not installed():
        return place

    from transformers import GPT2Config, GPT2LMHeadModel
    from transformers.convert_slow_tokenizer import bytes_to_unicode
    from transformers.utils import logging

    logging.disable_progress_bar()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"vocab_size": 257, "n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 2}
        GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=256, eos_token_id=256)).save_pretrained(place)
    vocabulary = {sign: number for number, sign in enumerate([*bytes_to_unicode().values(), "<|endoftext|>"])}
    (place / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (place / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return place
