"""Hints for a key or an option that does not exist: where a key of this name is, or what it is called here."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel

from jitkit.manifest.schema import Eval, Guidance, Teacher, Train

# Names of settings elsewhere, by their name here.
SYNONYMS = {
    "accumulate": ("grad_accum", "gradient_accumulation", "gradient_accumulation_steps", "accumulation_steps"),
    "batch_size": ("batch", "bs", "train_batch_size"),
    "checkpoint_every": ("save_every", "save_interval", "checkpoint_interval"),
    "clip_norm": ("grad_clip", "gradient_clip", "gradient_clip_val", "max_grad_norm"),
    "ema": ("ema_decay", "ema_rate"),
    "epochs": ("epoch", "max_epochs", "num_epochs", "num_train_epochs"),
    "lr": ("learning_rate", "max_lr"),
    "max_steps": ("iterations", "iters", "max_iters", "num_steps", "total_steps", "train_steps"),
    "precision": ("dtype", "amp", "fp16", "bf16"),
    "validate_every": ("eval_every", "eval_interval"),
    "warmup_steps": ("warmup", "warmup_iters"),
    "weight_decay": ("wd",),
}
MAX_SUGGESTIONS = 3


TABLES: dict[str, type[BaseModel]] = {"train": Train, "eval": Eval, "guidance": Guidance, "teacher": Teacher}


def schema_keys() -> list[str]:
    """Return the dotted keys that all manifests have, of whatever components: "train.lr", ..."""
    return [f"{table}.{key}" for table, model in TABLES.items() for key in model.model_fields]


def other_keys(name: str, keys: Iterable[str]) -> list[str]:
    """Return up to three of the dotted `keys` whose last part is `name`, or the keys that `name` means elsewhere.

    The name of a component's table means its `use`.
    """
    plain = name.strip("-").replace("-", "_").lower()
    here = next((own for own, others in SYNONYMS.items() if plain in others), plain)
    return [key for key in dict.fromkeys(keys) if key.rpartition(".")[2] == here or key == f"{here}.use"][
        :MAX_SUGGESTIONS
    ]


def key_hint(name: str, keys: Iterable[str], form: str = "{}") -> str:
    """Return "Did you mean train.lr?" for the `other_keys`, each in the given form, or "" if there are none."""
    found = [form.format(key) for key in other_keys(name, keys)]
    return f"Did you mean {' or '.join(found)}?" if found else ""
