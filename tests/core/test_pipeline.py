import pytest
import torch

from jitkit.errors import InputError
from jitkit.pipeline import Pipeline
from tests.tiny import resolved


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    from jitkit.assembly import assemble

    model = assemble(resolved())
    torch.manual_seed(1)
    for parameter in model.network.parameters():  # a new network is the zero function; make it output something
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def test_text_goes_through_tokens_and_images(pipeline: Pipeline) -> None:
    for text in ("", "hé", "sixteen bytes!!!"):
        tokens = pipeline.tokens_of(text)
        assert pipeline.text_of(pipeline.codec.decode(pipeline.codec.encode(tokens[None]))[0]) == text
    with pytest.raises(InputError, match="found 17 tokens of text; expected at most 16"):
        pipeline.tokens_of("seventeen bytes!!")


def test_a_text_ends_at_its_first_eos(pipeline: Pipeline) -> None:
    tokens = pipeline.tokens_of("the end")
    tokens[8:] = pipeline.tokens_of("sixteen bytes!!!")[8:]  # as a model may output after the end
    assert pipeline.text_of(tokens) == "the end"


def test_a_text_depends_on_its_seed_alone(pipeline: Pipeline) -> None:
    for sampler in ("euler", "sde"):
        together = pipeline.generate([1, 2, 3])
        (alone,) = pipeline.generate([2])
        assert together[1].tokens.equal(alone.tokens), sampler
        assert together[0].seed == 1
    assert not together[0].image.equal(together[1].image)


def test_known_tokens_stay(pipeline: Pipeline) -> None:
    prefix = pipeline.prefix("To be")
    assert prefix.mask.tolist() == [True] * 5 + [False] * 11
    for generated in pipeline.generate([1, 2], known=prefix):
        assert generated.text.startswith("To be")
        assert generated.tokens[prefix.mask].equal(prefix.tokens[prefix.mask])


@pytest.mark.parametrize("prompt", ["", "x" * 16])
def test_a_prompt_must_leave_room(pipeline: Pipeline, prompt: str) -> None:
    with pytest.raises(InputError, match="prompt: found a prompt of"):
        pipeline.prefix(prompt)


def test_known_tokens_are_refused_by_a_model_without_an_input_for_them() -> None:
    from jitkit.assembly import assemble

    model = assemble(resolved("objective.known=0.0", "objective.self_conditioning=0.0"))
    with pytest.raises(InputError, match=r"objective\.known"):
        model.generate([1], known=model.prefix("To be"))


def test_on_step_is_called_for_each_step(pipeline: Pipeline) -> None:
    steps = []
    pipeline.generate([1], steps=5, on_step=steps.append)
    assert [step.index for step in steps] == [0, 1, 2, 3, 4]
    assert steps[-1].t == 1.0
