"""jitkit models in the real lm-evaluation-harness, on tasks of local text."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import jitkit
from jitkit.assembly import assemble
from jitkit.checkpoints.format import save_checkpoint
from jitkit.errors import InputError, UsageError
from jitkit.harness import register
from tests.core.cli.conftest import run
from tests.extras import need
from tests.tiny import checkpoint_of, resolved

pytestmark = pytest.mark.filterwarnings("ignore::")  # of the packages that the harness imports

DOCUMENTS = [
    {"text": "the quick brown fox", "question": "the quick", "choices": [" brown fox", " cat"], "answer": 0},
    {"text": "ends with 中文", "question": "", "choices": ["a", "b"], "answer": 1},
    {
        "text": "a text of several images, " * 3,
        "question": "a long question " * 3,
        "choices": ["no", "yes"],
        "answer": 0,
    },
]
TASKS = {
    "rolling": "output_type: loglikelihood_rolling\ndoc_to_text: ''\ndoc_to_target: text\n"
    "metric_list: [{metric: bits_per_byte}]",
    "choice": "output_type: multiple_choice\ndoc_to_text: question\ndoc_to_choice: choices\ndoc_to_target: answer\n"
    "metric_list: [{metric: acc}, {metric: acc_norm}]",
    "generation": "output_type: generate_until\ndoc_to_text: question\ndoc_to_target: text\n"
    "generation_kwargs: {until: ['zz'], max_gen_toks: 20}\nmetric_list: [{metric: exact_match}]",
}


@pytest.fixture(scope="module", autouse=True)
def _offline(tmp_path_factory):
    """The harness reads only what this module has written."""
    need("lm_eval")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_DATASETS_OFFLINE", "HF_HUB_OFFLINE", "LMEVAL_DISABLE_MULTIPROC"):
            patch.setenv(name, "1")
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hub")))
        yield


def checkpoint_at(path: Path, *overrides: str) -> Path:
    """Write a checkpoint of the tiny model with random weights, small enough for probabilities above 0."""
    pipeline = assemble(resolved("train.precision=fp32", "train.pack=false", *overrides))
    generator = torch.Generator().manual_seed(0)
    for parameter in pipeline.network.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    save_checkpoint(path, checkpoint_of(pipeline))
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return checkpoint_at(tmp_path_factory.mktemp("model") / "tiny.pth")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory) -> Path:
    """A folder with a task for each kind of request."""
    folder = tmp_path_factory.mktemp("tasks")
    data = folder / "documents.jsonl"
    data.write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS), encoding="utf-8")
    source = f"dataset_path: json\ndataset_kwargs: {{data_files: {{test: {data}}}}}\ntest_split: test\n"
    for name, settings in TASKS.items():
        (folder / f"{name}.yaml").write_text(f"task: local_{name}\n{source}{settings}\n")
    return folder


@pytest.fixture(scope="module")
def load(path):
    """Return a function that loads the model with arguments, by the harness's registry."""
    from lm_eval.api.registry import get_model

    register()
    kind = get_model("jitkit")
    return lambda **arguments: kind.create_from_arg_obj(
        {"path": path, "device": "cpu", "draws": 2, "steps": 2} | arguments
    )


def requests_of(*arguments):
    return [SimpleNamespace(args=each, task_name="task", doc_id=i) for i, each in enumerate(arguments)]


# --- likelihood


@pytest.mark.slow
def test_rolling_likelihood_is_the_score_of_the_text(load, path) -> None:
    texts = [document["text"] for document in DOCUMENTS]
    answers = load(draws=8).loglikelihood_rolling(requests_of(*((text,) for text in texts)), disable_tqdm=True)
    model = jitkit.load(path, "cpu")
    for text, nats in zip(texts, answers, strict=True):
        assert -nats / math.log(2) / len(text.encode()) == pytest.approx(model.score(text).bits_per_byte, rel=1e-4)


@pytest.mark.slow
def test_likelihood_depends_on_context_and_seed_but_not_on_the_batch(load) -> None:
    pairs = [("the quick", " brown"), ("", " brown"), ("the slow", " brown"), ("a longer context, cut", "b" * 30)]
    together, alone = (load(batch_size=size).loglikelihood(requests_of(*pairs), True) for size in (16, 1))
    assert [nats for nats, _ in together] == pytest.approx([nats for nats, _ in alone], rel=1e-4)
    assert len({nats for nats, _ in together}) == len(pairs)
    assert not any(greedy for _, greedy in together)
    assert all(nats < 0 for nats, _ in together)
    model = load()
    assert model.loglikelihood(requests_of(*pairs), True) == model.loglikelihood(requests_of(*pairs), True)
    assert load(seed=1).loglikelihood(requests_of(*pairs), True) != together
    ((joint, _),), (rolling,) = (
        model.loglikelihood(requests_of(("", "to be")), True),
        model.loglikelihood_rolling(requests_of(("to be",)), True),
    )
    assert joint == rolling


def test_a_model_without_known_tokens_refuses_before_it_computes(load, tmp_path) -> None:
    blind = load(path=checkpoint_at(tmp_path / "blind.pth", "objective.known=0.0", "objective.self_conditioning=0.0"))
    for answer, arguments in ((blind.loglikelihood, ("a", "b")), (blind.generate_until, ("a", {}))):
        with pytest.raises(InputError, match="tiny: found a model without known pixels"):
            answer(
                requests_of(("", "b") if answer == blind.loglikelihood else ("", {"max_gen_toks": 1}), arguments), True
            )
    assert blind.loglikelihood(requests_of(("", "b")), True)
    assert blind.generate_until(requests_of(("", {"max_gen_toks": 3})), True)


# --- generation


def test_generations_stop_and_depend_on_their_own_seed(load) -> None:
    prompts = [
        ("the quick", {"max_gen_toks": 40}),
        ("", {"max_gen_toks": 40}),
        ("a long question " * 3, {"max_gen_toks": 5}),
    ]
    together, alone = (load(batch_size=size).generate_until(requests_of(*prompts), True) for size in (16, 1))
    assert together == alone
    assert load(seed=1).generate_until(requests_of(*prompts), True) != together
    first = together[0]
    assert len(first) > 16  # more than one image
    stop = first[3:5]
    options = {"max_gen_toks": 40, "until": [stop, "unused"]}
    assert load().generate_until(requests_of(("the quick", options)), True) == [first[: first.index(stop)]]
    repeated = load().generate_until(requests_of(*[("the quick", {"max_gen_toks": 40})] * 2), True)
    assert repeated[0] == first != repeated[1]
    assert load().generate_until(requests_of(("the quick", {"max_gen_toks": 0})), True) == [""]


def test_a_chat_template_is_refused(load) -> None:
    assert load().chat_template() == ""
    with pytest.raises(UsageError, match="no chat template"):
        load().chat_template(True)


# --- the harness


@pytest.mark.slow
def test_all_kinds_of_tasks_run_in_the_harness(path, tasks) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    register()

    def evaluate(batch_size: int):
        return simple_evaluate(
            model="jitkit",
            model_args=f"path={path},device=cpu,draws=1,steps=2,batch_size={batch_size}",
            tasks=[f"local_{name}" for name in TASKS],
            task_manager=TaskManager(include_path=str(tasks)),
            bootstrap_iters=0,
        )

    one, other = evaluate(8), evaluate(1)
    scores = one["results"]
    numbers = [value for values in scores.values() for value in values.values() if isinstance(value, float)]
    assert len(numbers) >= 4
    assert all(math.isfinite(number) for number in numbers)
    text = [document["text"] for document in DOCUMENTS]
    bits = sum(jitkit_bits(path, each) for each in text) / sum(len(each.encode()) for each in text)
    assert scores["local_rolling"]["bits_per_byte,none"] == pytest.approx(bits, rel=1e-4)
    assert other["results"]["local_rolling"]["bits_per_byte,none"] == pytest.approx(bits, rel=1e-4)
    generated = [[sample["resps"] for sample in found["samples"]["local_generation"]] for found in (one, other)]
    assert generated[0] == generated[1]
    assert one["config"]["loglikelihood"].startswith("lower bound of log p")
    assert one["config"]["model_step"] == 2


def jitkit_bits(path: Path, text: str) -> float:
    """Return the bound of one draw."""
    from jitkit.harness.likelihood import log_likelihoods
    from jitkit.harness.windows import windows_of

    model = jitkit.load(path, "cpu")
    (nats,) = log_likelihoods(model, [windows_of(model.pipeline, "", text)], draws=1)
    return -nats / math.log(2)


@pytest.mark.slow
def test_the_command_writes_results_and_reports_errors_in_one_line(path, tasks, tmp_path) -> None:
    def lm_eval(arguments: str, task: str):
        options = (
            "--include_path",
            tasks,
            "--output_path",
            tmp_path / "out",
            "--model_args",
            arguments,
            "--tasks",
            task,
        )
        return run("lm-eval", *options, PYTHONWARNINGS="ignore")

    done = lm_eval(f"path={path},device=cpu,draws=1", "local_rolling")
    assert done.returncode == 0, done.stderr
    assert "|local_rolling|" in done.stdout
    assert "loglikelihood_rolling is a lower bound of log p" in done.stderr
    (results,) = (tmp_path / "out").rglob("results*.json")
    assert json.loads(results.read_text())["config"]["loglikelihood"].startswith("lower bound of log p")
    unknown = lm_eval(f"path={path}", "local_roling")
    assert unknown.returncode == 2
    assert unknown.stderr.splitlines()[-1].startswith(
        "jitkit: error: lm-eval: found ValueError: Tasks not found: local_roling"
    )
