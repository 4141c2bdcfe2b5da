"""The model card of an exported model: front matter for the Hub, facts about the run, samples, and commands."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from typing import Any

from jitkit.assembly import Components
from jitkit.checkpoints.format import Checkpoint
from jitkit.errors import counted, visible
from jitkit.generated import Generated
from jitkit.manifest.schema import Manifest
from jitkit.pictures.film_strip import strip_png
from jitkit.pictures.recorder import Recorder, Snapshot, frames_of
from jitkit.pictures.text_lines import load_font
from jitkit.pipeline import Pipeline
from jitkit.progress import Counter, Progress
from jitkit.storage.exported_folder import FILM_STRIP, MANIFEST, SUMS, WEIGHTS

NUM_FRAMES = 6  # of the film strip
TAGS = ["jitkit", "diffusion", "diffusion-language-model", "pixel-space"]


@dataclass(frozen=True)
class Samples:
    """Texts with the seeds 0, 1, ..., and the film strip of the first."""

    texts: list[Generated]
    film_strip: bytes  # PNG


def draw_samples(pipeline: Pipeline, num: int, progress: Progress) -> Samples:
    """Return `num` samples, at least one."""
    size, texts, snapshots = pipeline.images_at_once(num), list[Generated](), list[Snapshot]()
    counter = Counter(progress, "sampling for the model card", num * pipeline.sampler.steps)
    for start in range(0, num, size):
        seeds = range(start, min(start + size, num))
        sampler = pipeline.sampler if start else Recorder(pipeline.sampler, snapshots.append)
        texts += pipeline.generate(seeds, sampler=sampler, on_step=counter.per_step(len(seeds)))
    frames = frames_of(snapshots, 0, NUM_FRAMES, pipeline)
    return Samples(texts, strip_png(frames, load_font((frame.text for frame in frames), None)))


def model_card(
    components: Components, checkpoint: Checkpoint, pipeline: Pipeline, source: str, samples: Samples | None
) -> str:
    """Return the README of an exported model. `source` is the name of the file it came from."""
    manifest = components.manifest
    facts = _facts(manifest, checkpoint, pipeline, source)
    rows = [f"| {_plain(name)} | {_plain(value)} |" for name, value in facts.items()]
    strip = f"![From noise to a text]({FILM_STRIP})\n\n" if samples else ""
    return (
        f"---\n{_front_matter(components)}---\n\n"
        f"# {manifest.id}\n\n{_plain(manifest.summary)}\n\n{strip}"
        "A diffusion language model in pixel space, made with jitkit: it turns noise into a small image, and its pixels are\n"
        "the text.\n\n| | |\n|---|---|\n" + "\n".join(rows) + f"\n\n{_usage()}{_samples(samples)}"
        f"{_training(components, checkpoint)}"
    )


def _front_matter(components: Components) -> str:
    """Return the metadata that the Hub reads. Each value is JSON, which is YAML too, without characters of Markdown."""
    manifest, weights = components.manifest, components.manifest.weights
    dataset = getattr(components.data, "dataset", "")  # its id on the Hub, of a source that reads one
    base = {"type": dataset or "text", "name": visible(weights.trained_on or "unknown")}
    metrics = [{"type": name, "value": value} for name, value in weights.metrics.items()]
    results = [{"task": {"type": "text-generation"}, "dataset": base, "metrics": metrics}]
    fields: dict[str, Any] = {
        "license": weights.license,
        "language": list(weights.language or ()),
        "library_name": "jitkit",
        "pipeline_tag": "text-generation",
        "tags": TAGS,
        "datasets": [dataset] if dataset else [],
        "metrics": list(weights.metrics),
        "model-index": [{"name": manifest.id, "results": results}] if metrics else [],
    }
    lines = (f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in fields.items() if value)
    return "".join(re.sub(r"[<>|!`*#]", lambda found: f"\\u{ord(found[0]):04x}", line) for line in lines)


def _facts(manifest: Manifest, checkpoint: Checkpoint, pipeline: Pipeline, source: str) -> dict[str, str]:
    codec, settings, weights = pipeline.codec, manifest.train, manifest.weights
    averages = ", ".join(checkpoint.ema_state_dict)
    facts = {
        "parameters": f"{pipeline.num_parameters:,}",
        "image": f"{codec.image_size} x {counted(codec.image_size, 'pixel')}, {counted(codec.capacity, 'token')},"
        f" {counted(codec.pixels_per_token, 'pixel')} per token",
        "tokenizer": f"{manifest.tokenizer.use}, {pipeline.tokenizer.vocab_size:,} ids",
        "codec": f"{manifest.codec.use}, margin {codec.margin:.4g}",
        "weights": f"average of decay {averages.partition(',')[0]}" if averages else "raw, no average",
        "trained on": weights.trained_on or "unknown",
        "steps": f"{checkpoint.step:,} of {counted(settings.batch_size, 'image')} ({settings.optimizer}, lr {settings.lr:g},"
        f" {checkpoint.execution.get('precision', 'unknown precision')})",
        "hardware": weights.hardware or "unknown",
        "validation loss": "not measured" if checkpoint.loss is None else f"{checkpoint.loss:.6f}",
    }
    facts |= {name: f"{value:.4g}" for name, value in weights.metrics.items() if name != "validation.loss"}
    made_with = ", ".join(f"{name} {version}" for name, version in sorted(checkpoint.versions.items()))
    return facts | {"made with": made_with, "exported from": source}


def _usage() -> str:
    return (
        "## Use\n\n```console\n$ jitkit generate MODEL\n```\n\n```python\n"
        'model = jitkit.load("MODEL")\nprint(model.generate(1)[0])\n```\n\n'
        "`MODEL` is this folder, or `hf:OWNER/NAME` for a repository of the Hugging Face Hub (`pip install 'jitkit[hub]'`).\n"
        f"`{MANIFEST}` is the complete recipe. `{WEIGHTS}` holds the weights of the network; `jitkit.load_pretrained_jit`\n"
        f"returns the network alone. `sha256sum -c {SUMS}` verifies the files.\n\n"
    )


def _samples(samples: Samples | None) -> str:
    """Return the section with all samples, none of them selected."""
    if samples is None:
        return ""
    num = len(samples.texts)
    texts = "\n\n".join(f"Seed {text.seed}:\n\n{_fenced(text.text)}" for text in samples.texts)
    return (
        f"## Samples\n\nThe first {counted(num, 'seed')}, not selected. This command makes them again, and the film strip:\n\n"
        f"```console\n$ jitkit generate MODEL -n {num} --device cpu --image pictures\n```\n\n{texts}\n\n"
    )


def _training(components: Components, checkpoint: Checkpoint) -> str:
    """Return the section with the command that trains the model again."""
    weights, data = components.manifest.weights, checkpoint.data
    options = ["--data TEXT"] if getattr(components.data, "reads_paths", False) else []
    options += [f"--{option} MODEL" for option, key in (("init", "initial"), ("teacher", "teacher")) if key in data]
    command = weights.command or " ".join([f"jitkit train {MANIFEST}", *options])
    roles = {"initial": "The first weights were those of", "teacher": "The teacher was"}
    began = "".join(f" {role} {_plain(data[key])}." for key, role in roles.items() if key in data)
    return (
        f"## Train it again\n\n{_fenced(command)}\n\nTraining text: {_plain(weights.trained_on or 'unknown')}.{began}\n"
    )


def _fenced(text: str) -> str:
    """Return a code block that shows a text literally, whatever it contains."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return "\n".join((f"{fence}text", visible(text, keep="\n"), fence))


def _plain(text: str) -> str:
    """Return Markdown that shows a text literally, because names and summaries come from files."""
    return re.sub(r"([\\`*_\[\]|!#~])", r"\\\1", html.escape(visible(text), quote=False))


def trained_on(checkpoint: Checkpoint) -> str | None:
    """Describe what a model was trained on: its text or teacher, and the model that its first weights came from."""
    data = checkpoint.data
    seen = f"sampling trajectories of {data['teacher']}" if "teacher" in data else data.get("origin")
    return f"{seen}, after {data['initial']}" if "initial" in data else seen
