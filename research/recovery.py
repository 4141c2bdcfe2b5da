"""How many held-out characters a small model reads at t = 0.5, beside the line that needs no model.

python research/recovery.py TEXT FOLDER [--set KEY=VALUE ...]

Trains the network of `jit-nano` on the characters of one text (64 an image, one a 4x4 patch, sign codes of 48 numbers) for
1,500 steps of 64. The vocabulary is the characters of that text, which a plugin made on the spot offers: the line without a
model depends on the number of codewords, and figures are compared at equal vocabularies only.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

import jitkit
from jitkit.checkpoints.open import open_model
from jitkit.discovery import Registry, create_plugin_manager
from jitkit.evaluation.context import EvaluationContext
from jitkit.files import Files
from jitkit.recipe import open_recipe
from jitkit.training.setup import Request, train

SETTINGS = (
    "tokenizer={use='characters'}",
    "train.max_steps=1500",
    "objective.known=0.0",
    "train.validation_windows=512",
)


@dataclass(frozen=True)
class Alphabet:
    """A tokenizer of the characters of one text."""

    characters: str
    fingerprint: str = "alphabet"

    @property
    def eos_id(self) -> int:
        return len(self.characters)

    @property
    def pad_id(self) -> int:
        return len(self.characters) + 1

    @property
    def vocab_size(self) -> int:
        return len(self.characters) + 2

    def encode(self, text: str) -> list[int]:
        ids = {character: number for number, character in enumerate(self.characters)}
        return [ids[character] for character in text]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.characters[i] for i in ids if i < len(self.characters))

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        return self.decode(ids).encode()

    def files(self) -> Mapping[str, bytes]:
        return {}


def plugin(text: str) -> object:
    """Return a plugin that offers the characters of `text` as a tokenizer."""
    alphabet = Alphabet("".join(sorted(set(text))))

    class Characters(jitkit.Component):
        """The characters of one text."""

        name = "characters"

        def build(self, files: Files) -> Alphabet:
            return alphabet

    class Plugin:
        @jitkit.hookimpl
        def jitkit_tokenizers(self) -> list[type[jitkit.Component]]:
            return [Characters]

    return Plugin()


def main(text: Path, folder: Path, *overrides: str) -> None:
    manager = create_plugin_manager([plugin(text.read_text(encoding="utf-8"))])
    components = open_recipe("jit-nano", data=text, overrides=[*SETTINGS, *overrides], manager=manager)
    train(Request(components, manager, folder, torch.device("cpu"), Console(stderr=True), resume="auto"))
    model = open_model(folder, manager)
    pipeline, windows = model.pipeline(), model.checkpoint.validation_tokens
    context = EvaluationContext(pipeline, windows, seed=0, times=(0.5,), num_windows=512, steps=1)
    (row,) = Registry(manager).component("metrics", "token_recovery")().measure(context)
    num_parameters = sum(parameter.numel() for parameter in pipeline.network.parameters())
    print(json.dumps({"parameters": num_parameters, "vocab_size": pipeline.codec.vocab_size, **row}))


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--set"]
    main(Path(words[0]), Path(words[1]), *words[2:])
