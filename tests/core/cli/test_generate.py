"""`jitkit generate`: output for people and for programs."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from jitkit.checkpoints.open import load_pipeline
from jitkit.storage.png import read_picture
from tests.core.cli.conftest import run, run_on_a_terminal

pytestmark = pytest.mark.slow


def generated(*arguments):
    done = run("generate", *arguments, "--json", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == "jitkit.generate/1"
    return document["texts"]


def test_a_text_depends_only_on_its_seed(checkpoint):
    three = generated(checkpoint, "-n", 3, "--seed", 7)
    assert [text["seed"] for text in three] == [7, 8, 9]
    assert generated("--checkpoint", checkpoint, "--seed", 8) == [three[1]]
    assert three[0]["text"] != three[1]["text"]


def test_prompts_and_text_around_gaps_are_kept(checkpoint):
    (prompted,) = generated(checkpoint, "--prompt", "To be")
    assert prompted["text"].startswith("To be")
    (filled,) = generated(checkpoint, "--infill", "ab [[4]] cd[[2]]ef")
    # the model may generate eos or part of a letter in a gap, but never changes the text around it
    pipeline = load_pipeline(checkpoint)
    assert filled["num_tokens"] <= pipeline.codec.capacity
    assert filled["text"].startswith("ab ")


def test_images_are_exact_and_film_strips_are_written(checkpoint, tmp_path):
    texts = generated(checkpoint, "-n", 2, "--image", tmp_path / "new")
    pipeline = load_pipeline(checkpoint)
    for text in texts:
        picture = read_picture(tmp_path / "new" / f"seed-{text['seed']}.png", pipeline.codec.image_size)
        assert pipeline.text_of(pipeline.codec.decode_bytes(picture[None])[0]) == text["text"]
        with Image.open(text["film_strip"]) as strip:
            assert strip.width > 4 * 208  # four snapshots of a trajectory of three steps


def test_manifest_keys_can_be_overridden(make_checkpoint):
    checkpoint = make_checkpoint("objective={use='codeword', context='codeword', known=0.5, self_conditioning=0.5}")
    plain, again, cold, stochastic = (
        generated(checkpoint, *(argument for setting in settings for argument in ("--set", setting)))[0]["text"]
        for settings in ((), ("objective.temperature=1.0",), ("objective.temperature=0.1",), ("sampler={use='sde'}",))
    )
    assert plain == again
    assert len({plain, cold, stochastic}) == 3


def test_control_characters_are_escaped_on_a_terminal(checkpoint):
    arguments = ("generate", checkpoint, "--prompt", "\x1b[31mred\u202e", "--device", "cpu")
    code, screen = run_on_a_terminal(*arguments)
    assert code == 0
    assert "\\x1b[31mred\\u202e" in screen
    assert "\x1b[31m" not in screen
    assert "\x1b[31mred\u202e" in run(*arguments).stdout  # unchanged in a pipe


def test_text_is_escaped_in_an_ascii_locale(checkpoint):
    ascii_only = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = run("generate", checkpoint, "--prompt", "déjà", "--device", "cpu", **ascii_only)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("d\\xe9j\\xe0")
    document = json.loads(run("generate", checkpoint, "--prompt", "déjà", "--json", **ascii_only).stdout)
    assert document["texts"][0]["text"].startswith("déjà")


@pytest.mark.parametrize("columns", [100, 12])
def test_watching_shows_every_step(checkpoint, columns):
    code, screen = run_on_a_terminal("generate", checkpoint, "--watch", "--device", "cpu", columns=columns)
    assert code == 0
    assert "▀" in screen
    for t in ("0.000", "1.000"):
        assert f"t = {t}" in screen


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "no model"),
        (["{0}", "--checkpoint", "{0}"], 2, "two models"),
        (["{0}", "--watch"], 2, "not a terminal"),
        (["{0}", "--prompt", "a", "--infill", "[[...]]"], 2, "--prompt and --infill"),
        (["{0}", "--infill", "no hole"], 2, "no hole in 'no hole'"),
        (["{0}", "--prompt", "word " * 99], 4, "a prompt of 495 tokens"),
        (["{0}", "--infill", "word " * 99 + "[[...]]"], 2, "at most 16 in total"),
        (["{0}", "--image", "/proc/nowhere"], 6, "/proc/nowhere"),
        (["{0}", "--image", "{1}", "--font", "{0}"], 4, "a font file"),
        (["{0}", "--steps", "0"], 2, "--steps"),
        (["{0}", "--set", "train.lr=1"], 2, "found 'train.lr'; expected a key of schedule, objective, sampler"),
        (["{0}", "--set", "sampler.gama=2"], 3, "gama"),
        (["{0}", "--set", "objective.self_conditioning=0.0"], 4, "patch_embedding"),
        (["{0}", "--set", "guidance.self_conditioning=2"], 3, "a model that has learned no scale but 1"),
        (["{0}", "--set", "guidance.scale=2"], 3, "unknown key"),
        (["jit-b4"], 4, "Train it: jitkit train jit-b4"),
    ],
)
def test_each_error_is_one_line(checkpoint, tmp_path, arguments, code, message):
    done = run("generate", *(argument.format(checkpoint, tmp_path) for argument in arguments))
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


def test_guidance_by_a_prompt_changes_the_rest_of_the_text(checkpoint):
    """Guidance keeps the prompt and changes the rest. Without known pixels it changes nothing."""
    guided, plain = (
        generated(checkpoint, "--prompt", "To be", *extra)[0]["text"] for extra in (("--set", "guidance.known=4"), ())
    )
    assert guided.startswith("To be")
    assert guided != plain
    assert generated(checkpoint, "--set", "guidance.known=4") == generated(checkpoint)


def test_a_model_that_never_saw_known_pixels_says_so(make_checkpoint):
    done = run(
        "generate", make_checkpoint("objective.known=0.0", "objective.self_conditioning=0.0"), "--prompt", "To be"
    )
    assert done.returncode == 4
    assert "found a model without known pixels, self-conditioning and token posterior" in done.stderr
