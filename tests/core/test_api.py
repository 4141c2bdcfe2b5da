"""The Python API does what the commands do, prints nothing, and leaves the process as it was."""

from __future__ import annotations

import inspect
import io
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import torch
from PIL import Image

import jitkit
from jitkit.api.options import override_texts
from jitkit.assembly import assemble
from jitkit.checkpoints.format import load_checkpoint, save_checkpoint
from jitkit.discovery import create_plugin_manager
from jitkit.errors import InputError, ManifestError, PluginError, ResourceError, UsageError, in_python
from jitkit.pictures.file_names import picture_files
from jitkit.pictures.recorder import frames_of
from tests.core.cli.conftest import run as run_command
from tests.tiny import checkpoint_of, resolved

ROOT = Path(__file__).parents[2]
TEMPERED = ("objective={use='codeword', known=0.5}",)
RUN = {
    "train.max_steps": 4,
    "train.batch_size": 2,
    "train.precision": "fp32",
    "train.compile": "off",
    "train.validation_windows": 2,
    "train.warmup_steps": 1,
    "backbone.depth": 1,
    "backbone.embed_dim": 32,
    "backbone.num_heads": 2,
    "sampler.steps": 2,
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    pipeline = assemble(resolved(*TEMPERED))
    torch.manual_seed(0)
    for parameter in pipeline.network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    path = tmp_path_factory.mktemp("run") / "best_model.pth"
    save_checkpoint(path, checkpoint_of(pipeline))
    return path


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> jitkit.Model:
    return jitkit.load(checkpoint, "cpu")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "novel.txt"
    path.write_text("the quick brown fox jumps over the lazy dog. " * 60)
    return path


def train(out: Path, text: Path, **arguments):
    return jitkit.train("jit-nano", text, out, overrides=RUN, device="cpu", **arguments)


# --- the module


def test_importing_jitkit_imports_next_to_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules); import jitkit; dir(jitkit); jitkit.__version__\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'rich', 'typer', 'pluggy', 'PIL'} & {name.partition('.')[0] for name in sys.modules}\n"
        "print(heavy, *sorted(name for name in set(sys.modules) - before if name.startswith('jitkit')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["set()", "jitkit", "jitkit.openmp"]  # which must precede torch


def test_every_public_name_exists() -> None:
    assert dir(jitkit) == sorted(jitkit.__all__)
    for name in jitkit.__all__:
        assert getattr(jitkit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        jitkit.laod  # noqa: B018
    assert jitkit.__version__.count(".") == 2


@pytest.mark.slow
def test_a_program_that_uses_the_api_passes_a_strict_type_check(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import jitkit\n\n"
        "def show(values: jitkit.Values) -> None:\n    print(values['loss'])\n\n"
        "result = jitkit.train('jit-nano', 'novel.txt', overrides={'train.lr': 1e-3}, on_step=show)\n"
        "model: jitkit.Model = jitkit.load(result.folder, 'cpu')\n"
        "texts: list[str] = [each.text for each in model.generate(2, prompt='a', temperature=0.5)]\n"
        "bits: float = model.score('text').bits_per_byte\n"
        "again: str = model.decode(model.encode('text'))\n"
        "report = jitkit.evaluate(model, limit=2)\n"
        "model.generate('2')\n"
    )
    command = [sys.executable, "-m", "mypy", str(program)]  # strict, and with the cache of `make types`
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "program.py:12: error" in done.stdout, done.stdout
    assert "Found 1 error" in done.stdout, done.stdout


@pytest.mark.slow
def test_the_examples_in_docstrings_run(tmp_path: Path, text: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"jitkit": jitkit}
    for thing in (jitkit, jitkit.train, jitkit.load, jitkit.evaluate):
        (example,) = re.findall(r"::\n\n((?: {4}.*\n|\n)+)", inspect.cleandoc(thing.__doc__))
        quick = example.replace('"train.max_steps": 200', '"train.max_steps": 2, "train.batch_size": 2')
        exec(textwrap.dedent(quick), names)
    assert names["model"].id == names["report"]["model"] == "jit-nano"


# --- loading


def test_everything_that_names_a_model_can_be_loaded(checkpoint: Path, model: jitkit.Model, tmp_path: Path) -> None:
    from jitkit.checkpoints.export import export_model

    export_model(model.opened, tmp_path / "exported")
    expected = model.generate()[0].text
    for name in (
        checkpoint.parent,
        str(checkpoint),
        tmp_path / "exported",
        tmp_path / "exported" / "model.safetensors",
    ):
        assert jitkit.load(name, "cpu").generate()[0].text == expected
    with pytest.raises(jitkit.JitkitError, match="Did you mean jit-nano"):
        jitkit.load("jit-nanno")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_missing_device_is_the_error_of_the_commands(checkpoint: Path, text: Path, tmp_path: Path) -> None:
    done = run_command("generate", checkpoint, "--device", "cuda")
    for use in (
        lambda: jitkit.load(checkpoint, "cuda"),
        lambda: jitkit.load_pipeline(checkpoint, device="cuda"),
        lambda: jitkit.load_pipeline(checkpoint, device=torch.device("cuda:7")),
        lambda: jitkit.evaluate(checkpoint, device="cuda"),
        lambda: jitkit.train("jit-nano", text, tmp_path / "run", device="cuda"),
    ):
        with pytest.raises(ResourceError, match="found device 'cuda") as caught:
            use()
        if "cuda:7" not in str(caught.value):
            assert done.stderr.strip() == f"jitkit: {caught.value.lines()[0]}"
            assert done.returncode == caught.value.exit_code


def test_overrides_are_typed_values(checkpoint: Path) -> None:
    assert jitkit.load(checkpoint, "cpu", overrides={"sampler.steps": 5}).pipeline.sampler.steps == 5
    assert override_texts({"a.b": 0.1, "c": [1, 2], "d": "x", "e": True}) == ["a.b=0.1", "c=[1, 2]", 'd="x"', "e=true"]
    with pytest.raises(ManifestError, match=r"sampler\.steps: found 0"):
        jitkit.load(checkpoint, overrides={"sampler.steps": 0})


# --- generating


def test_texts_are_those_of_the_command(checkpoint: Path, model: jitkit.Model) -> None:
    arguments = ("--steps", 4, "--seed", 7, "--set", "objective.temperature=0.5", "--device", "cpu", "--json")
    done = run_command("generate", checkpoint, "-n", 3, "--prompt", "To be", *arguments)
    expected = json.loads(done.stdout)["texts"]
    found = model.generate(3, prompt="To be", steps=4, seed=7, temperature=0.5)
    assert [(one.text, one.seed, one.num_tokens, one.ended) for one in found] == [
        (one["text"], one["seed"], one["num_tokens"], one["ended"]) for one in expected
    ]
    assert [one.text for one in model.generate(3, prompt="To be", steps=4, seed=7)] != [one.text for one in found]


def test_a_batch_size_changes_no_text(model: jitkit.Model) -> None:
    batches = list(model.batches(5, batch_size=2, seed=3))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert [one.text for batch in batches for one in batch] == [one.text for one in model.generate(5, seed=3)]


def test_gaps_are_filled_and_the_rest_stays(model: jitkit.Model) -> None:
    (one,) = model.generate(infill="a[[2]]b[[2]]c")
    raw = model.pipeline.tokenizer.decode_bytes(one.tokens.tolist())
    assert (raw[:1], raw[3:4], raw[6:7]) == (b"a", b"b", b"c")


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"n": 0}, UsageError, "n: found 0; expected an integer, 1 or more"),
        ({"n": "3"}, UsageError, "n: found '3'"),
        ({"n": True}, UsageError, "n: found True"),
        ({"steps": 0}, UsageError, "steps: found 0"),
        ({"seed": -1}, UsageError, "seed: found -1"),
        ({"prompt": "a", "infill": "a[[...]]"}, UsageError, "infill: found prompt= and infill="),
        ({"infill": "no hole"}, UsageError, "no hole in 'no hole'"),
        ({"prompt": ""}, InputError, "a prompt of 0 tokens"),
        ({"prompt": "x" * 99}, InputError, "a prompt of 99 tokens"),
        ({"temperature": 0.0}, ManifestError, r"objective\.temperature: found 0\.0; expected greater than 0"),
        ({"temperature": "hot"}, ManifestError, r"objective\.temperature: found 'hot'"),
    ],
)
def test_invalid_arguments_are_errors_of_jitkit(model: jitkit.Model, arguments, kind, message) -> None:
    with pytest.raises(kind, match=message) as caught:
        model.generate(**arguments)
    assert isinstance(caught.value, jitkit.JitkitError)


def test_a_temperature_needs_an_objective_with_one(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best_model.pth", checkpoint_of(assemble(resolved())))
    with pytest.raises(ManifestError, match=r"objective\.temperature: found an unknown key"):
        jitkit.load(tmp_path, "cpu").generate(temperature=0.5)


def test_a_pipeline_explains_that_it_takes_seeds(model: jitkit.Model) -> None:
    with pytest.raises(UsageError, match=r"seeds: found 1; expected the seeds.*jitkit\.load"):
        model.pipeline.generate(1)  # type: ignore[arg-type]


# --- showing


def test_reprs_fit_on_one_line(model: jitkit.Model) -> None:
    assert repr(model) == "Model(tiny, 0.04 M parameters, cpu)"
    assert repr(model.pipeline) == "Pipeline(tiny, 0.04 M parameters, cpu)"
    (one,) = model.generate()
    snapshots = []
    list(model.batches(1, on_snapshot=snapshots.append))
    pipeline, opened = model.pipeline, model.opened
    parts = (opened, opened.checkpoint, snapshots[0], frames_of(snapshots, 0, 1, pipeline)[0], pipeline.denoiser)
    parts += (pipeline.known_tokens("a"), pipeline.tokenizer, pipeline.codec, pipeline.sampler, pipeline.execution)
    for value in (one, one.picture, model.score("to be or not to be"), *parts):
        assert len(repr(value)) < 500, repr(value)
        assert "\n" not in repr(value)
    assert str(one) == one.text


def test_a_notebook_shows_a_large_picture_and_escaped_text(model: jitkit.Model) -> None:
    (one,) = model.generate()
    evil = "<script>alert('x')</script>&\u202e"
    assert model.generate(2)._repr_html_().count("<img") == 2
    html = type(one)(evil, 1, one.tokens, one.image, 3, one.picture)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&amp;" in html
    with Image.open(io.BytesIO(one.picture._repr_png_())) as shown:
        assert shown.size == (256, 256)


def test_a_film_strip_is_that_of_the_command(checkpoint: Path, model: jitkit.Model, tmp_path: Path) -> None:
    done = run_command("generate", checkpoint, "--seed", 3, "--prompt", "to", "--device", "cpu", "--image", tmp_path)
    assert done.returncode == 0, done.stderr
    strip = model.film_strip(prompt="to", seed=3)
    with Image.open(picture_files(tmp_path, 3)["film_strip"]) as drawn:
        assert drawn.tobytes() == strip.image().tobytes()
    assert model.film_strip(prompt="to", seed=3, frames=1).size[0] < strip.size[0]
    with pytest.raises(UsageError, match="frames: found 0; expected an integer, 1 or more"):
        model.film_strip(frames=0)


# --- texts and pictures


def test_a_text_becomes_pictures_and_comes_back(model: jitkit.Model, tmp_path: Path) -> None:
    for text in ("", "to be", "exactly16 bytes!", "longer than one image: ✓ " * 5):
        assert model.decode(model.encode(text)) == text
    picture = model.picture("to be")
    assert model.decode(picture) == "to be"
    picture.save(tmp_path / "one.png")
    with Image.open(tmp_path / "one.png") as saved:
        assert saved.size == picture.size == (16, 16)
        assert saved.tobytes() == picture.image().tobytes()
    with pytest.raises(InputError, match="256x256 pixels; expected 16x16"):
        model.decode(picture.visible())
    with pytest.raises(UsageError, match="found a str; expected a Picture"):
        model.decode("one.png")
    with pytest.raises(InputError, match="17 tokens of text; expected at most 16"):
        model.picture("seventeen letters")


# --- scoring


def test_a_score_is_the_likelihood_bound_of_the_text(model: jitkit.Model) -> None:
    score = model.score("to be or not to be, that is the question")
    assert score.low <= score.bits_per_byte <= score.high
    assert (score.num_bytes, score.num_tokens) == (32, 32)  # two whole images
    assert score == model.score("to be or not to be, that is the question")
    with pytest.raises(InputError, match="text: found an empty text"):
        model.score("")
    with pytest.raises(InputError, match=r"text of 5 tokens; expected at least 16.*without padding"):
        model.score("to be")


def test_a_model_trained_with_padding_scores_short_texts(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best_model.pth", checkpoint_of(assemble(resolved("train.pack=false"))))
    score = jitkit.load(tmp_path, "cpu").score("to be")
    assert score.num_bytes == 5
    assert score.bits_per_byte > 0


# --- training


@pytest.mark.slow
def test_training_in_python_is_training_on_the_command_line(tmp_path: Path, text: Path, capfd) -> None:
    generator, handlers = torch.get_rng_state(), [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    environment, filters = dict(os.environ), torch.get_default_dtype()
    steps, validations, saved = [], [], []
    result = train(
        tmp_path / "python", text, on_step=steps.append, on_validation=validations.append, on_checkpoint=saved.append
    )
    again = train(tmp_path / "again", text)
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.get_rng_state(), generator)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert (dict(os.environ), torch.get_default_dtype()) == (environment, filters)
    assert [values["step"] for values in steps] == [1, 2, 3, 4]
    assert validations[-1]["validation_loss"] == result.loss == again.loss
    assert all(path.exists() for path in saved[-1:])
    sets = [part for key, value in RUN.items() for part in ("--set", f"{key}={value}")]
    done = run_command("train", "jit-nano", "--data", text, "--out", tmp_path / "command", "--device", "cpu", *sets)
    assert done.returncode == 0, done.stderr
    weights = [load_checkpoint(tmp_path / name / "best_model.pth") for name in ("python", "again", "command")]
    for other in weights[1:]:
        for name, value in weights[0].model_state_dict.items():
            assert torch.equal(value, other.model_state_dict[name])
        assert torch.equal(weights[0].rng["cpu"], other.rng["cpu"])
    assert jitkit.load(result.folder, "cpu").step == 4


class Enough(Exception):
    """A callback has seen enough."""


@pytest.mark.slow
@pytest.mark.parametrize("error", [Enough("seen enough"), KeyboardInterrupt(), RuntimeError("not enough memory")])
def test_a_callback_that_raises_saves_and_the_run_can_be_continued(tmp_path: Path, text: Path, error) -> None:
    def stop(values) -> None:
        if values["step"] == 2:
            raise error

    with pytest.raises(type(error)) as caught:
        train(tmp_path / "run", text, on_step=stop)
    assert caught.value is error
    assert "stopped after step 2; saved " in caught.value.__notes__[-1]
    whole = train(tmp_path / "whole", text)
    resumed = train(tmp_path / "run", text, resume="auto")
    assert (resumed.step, resumed.loss) == (4, whole.loss)


@pytest.mark.slow
def test_ctrl_c_in_a_notebook_saves_and_raises(tmp_path: Path, text: Path, monkeypatch) -> None:
    """The signal arrives in the middle of a step, before the weights change."""
    from jitkit.training.tasks.denoising import DenoisingTask

    backward = DenoisingTask.backward

    def interrupted(self, step):
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return backward(self, step)

    monkeypatch.setattr(DenoisingTask, "backward", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        train(tmp_path / "run", text)
    assert "stopped after step 2; saved" in caught.value.__notes__[-1]


@pytest.mark.slow
def test_an_interrupt_while_the_weights_change_saves_nothing_that_is_half_done(tmp_path, text, monkeypatch) -> None:
    from jitkit.training.ema import Averages

    update = Averages.update

    def interrupted(self, network, step):
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        update(self, network, step)

    monkeypatch.setattr(Averages, "update", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        train(tmp_path / "run", text)
    assert caught.value.__notes__[-1].endswith("nothing was saved yet")
    assert not list((tmp_path / "run").glob("*.pth"))


@pytest.mark.slow
def test_training_works_in_a_thread(tmp_path: Path, text: Path) -> None:
    results = []
    thread = threading.Thread(target=lambda: results.append(train(tmp_path / "run", text, signals=True)))
    thread.start()
    thread.join()
    assert results[0].step == 4


@pytest.mark.slow
def test_warnings_of_a_run_are_logged(tmp_path: Path, text: Path, caplog, capfd) -> None:
    class Broken:
        @jitkit.hookimpl
        def jitkit_step_finished(self) -> None:
            raise ValueError("no space left in the plugin")

    train(tmp_path / "run", text, manager=create_plugin_manager([Broken()]))
    noisy, record = (each for each in caplog.records if each.levelname == "WARNING")
    assert noisy.getMessage().startswith("the validation loss of 2 windows is noisy")
    assert record.name == "jitkit"
    assert "no space left in the plugin" in record.getMessage()
    assert capfd.readouterr().out == ""


@pytest.mark.slow
def test_progress_is_printed_on_request(tmp_path: Path, text: Path, capfd) -> None:
    train(tmp_path / "run", text, progress=True)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "step 4/4" in printed.err


def test_training_refuses_what_the_command_refuses(tmp_path: Path, text: Path) -> None:
    with pytest.raises(UsageError, match=r"^overwrite: found resume= and overwrite=True"):
        train(tmp_path / "run", text, resume="auto", overwrite=True)
    with pytest.raises(ManifestError, match=r"train\.learning_rate"):
        jitkit.train("jit-nano", text, overrides={"train.learning_rate": 1})


def test_errors_name_the_arguments_of_python(tmp_path: Path, text: Path, model: jitkit.Model) -> None:
    with pytest.raises(
        ManifestError, match=r"^overrides: train\.max_step: found an unknown key\. Did you mean max_steps"
    ):
        jitkit.train("jit-nano", text, tmp_path / "run", overrides={"train.max_step": 3})
    with pytest.raises(ManifestError, match=r'Did you mean `overrides=\{"train\.lr": \.\.\.\}`\?$'):
        jitkit.train("jit-nano", text, overrides={"learning_rate": 1})
    with pytest.raises(UsageError, match=r"^manifest: found no manifest; expected .* or resume= with a run folder"):
        jitkit.train(resume="auto")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    hint = r"resume='auto' continues it, overwrite=True deletes it, out= chooses another folder\.$"
    with pytest.raises(UsageError, match=hint) as caught:
        jitkit.train("jit-nano", text, tmp_path)
    assert "--overwrite deletes it" in caught.value.lines()[0], "a command prints its own options"
    with pytest.raises(InputError, match=r"Name text to evaluate on: data=PATH$"):
        jitkit.evaluate("jit-nano")
    with pytest.raises(TypeError, match="propmt"):
        model.generate(propmt="x")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("option", "argument"),
    [
        ("Try --set train.accumulate=4.", 'Try overrides={"train.accumulate": 4}.'),
        ("table: --set 'sampler={use=\"...\"}'.", "table: overrides=['sampler={use=\"...\"}']."),
        ("--set: x.y: found", "overrides: x.y: found"),
        ("a new folder: --out FOLDER.", "a new folder: out=FOLDER."),
        ("`jitkit --help` and --outline stay", "`jitkit --help` and --outline stay"),
    ],
)
def test_options_become_arguments(option: str, argument: str) -> None:
    assert in_python(option) == argument


# --- evaluating


def test_an_evaluation_is_that_of_the_command_and_writes_nothing(checkpoint: Path, model, tmp_path, capfd) -> None:
    files = sorted(checkpoint.parent.iterdir())
    seen = []
    report = jitkit.evaluate(
        model, metrics=["validation"], limit=2, progress=lambda task, done, total: seen.append((task, done, total))
    )
    assert capfd.readouterr() == ("", "")
    assert sorted(checkpoint.parent.iterdir()) == files
    done = run_command(
        "eval", "--checkpoint", checkpoint, "--metric", "validation", "--limit", 2, "--device", "cpu", "--json"
    )
    assert done.returncode == 0, done.stderr
    expected = json.loads(done.stdout)
    assert report["validation"] == expected["validation"]
    assert report.keys() == expected.keys()


def test_one_name_in_place_of_a_list_of_metrics_is_an_error(model) -> None:
    with pytest.raises(UsageError, match=r"^metrics: found 'validation'; expected a list of names"):
        jitkit.evaluate(model, metrics="validation")
    with pytest.raises(PluginError, match=r"^metrics: found unknown metric 'recovry'"):
        jitkit.evaluate(model, metrics=["recovry"])


def test_an_evaluation_writes_a_report_into_out(model, tmp_path) -> None:
    jitkit.evaluate(model, out=tmp_path / "report", metrics=["validation"], limit=2)
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == [
        "gallery.json",
        "report.html",
        "report.json",
    ]


@pytest.mark.parametrize("field", ["data", "out", "resume"])
def test_an_empty_text_is_no_path(field: str) -> None:
    """`Path("")` is the working folder, with all its text files; `resume=""` would silently begin a new run."""
    with pytest.raises(UsageError, match=f"^{field}: found an empty text; expected a path"):
        jitkit.train("jit-nano", **{field: ""})
