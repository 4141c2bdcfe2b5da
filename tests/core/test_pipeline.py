import pytest
import torch

from jitkit.diffusion.noise_source import NoiseSource
from jitkit.errors import InputError, UsageError
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


def test_a_seed_counts_in_full() -> None:
    """torch's CPU generator uses only 32 bits of its seed."""
    seeds = [7, 7 + 2**32, 7 + 2**62, 7 + 2**40]
    noise = NoiseSource(seeds, 4, 1.0, torch.device("cpu"))()
    assert not any(noise[one].equal(noise[other]) for one in range(4) for other in range(one))
    assert noise[0].equal(torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(7)))  # as ever


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_out_of_range_is_refused(pipeline: Pipeline, seed: int) -> None:
    with pytest.raises(UsageError, match=f"seed: found {seed}; expected an integer from 0 to"):
        pipeline.generate([seed])


def test_no_seeds_give_no_texts_and_no_steps_are_refused(pipeline: Pipeline) -> None:
    assert pipeline.generate([]) == []
    with pytest.raises(UsageError, match="steps: found 0; expected at least 1"):
        pipeline.generate([1], steps=0)


@pytest.mark.parametrize("objective", ["flow", "codeword", "bitwise"])
def test_an_image_that_is_not_finite_is_no_text(objective: str) -> None:
    """Its tokens would decode to something, usually an empty text."""
    from jitkit.assembly import assemble

    codec = "codec={use='bits'}" if objective == "bitwise" else "codec={use='code', numbers=48}"
    model = assemble(resolved(f"objective={{use='{objective}'}}", codec))
    for parameter in model.network.parameters():
        torch.nn.init.constant_(parameter, 1e30)
    with pytest.raises(InputError, match="tiny: found values that are not finite in a generated image"):
        model.generate([1])


@pytest.mark.parametrize("objective", ["codeword", "bitwise"])
@pytest.mark.parametrize("temperature", [1e-8, 1e-30, 5e-324])
def test_the_lowest_temperatures_choose_the_most_likely_tokens(objective: str, temperature: float) -> None:
    """1 + (1e-8 - 1) is 0 in float32."""
    from jitkit.assembly import assemble

    codec = "codec={use='bits'}" if objective == "bitwise" else "codec={use='code', numbers=48}"
    lowest, low = (
        assemble(resolved(f"objective={{use='{objective}', temperature={value}}}", codec)).generate([1])[0]
        for value in (temperature, 1e-6)
    )
    assert lowest.tokens.equal(low.tokens)
