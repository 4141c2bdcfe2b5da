from pathlib import Path

import pytest

from jitkit.assembly import assemble, resolve
from jitkit.discovery import Registry, create_plugin_manager
from jitkit.errors import JitkitError, ManifestError, PluginError
from jitkit.files import Files
from jitkit.manifest.reader import parse_manifest
from jitkit.manifest.writer import manifest_to_toml
from tests.tiny import TINY, resolved


def test_a_resolved_manifest_contains_all_defaults_and_resolves_to_itself() -> None:
    components = resolved()
    text = manifest_to_toml(components.manifest)
    assert "noise_scale" in text
    again = resolved(text=text)
    assert (again.codec, again.schedule, again.objective) == (
        components.codec,
        components.schedule,
        components.objective,
    )


def test_components_are_built_to_fit_together() -> None:
    pipeline = assemble(resolved())
    assert (pipeline.codec.vocab_size, pipeline.codec.image_size) == (pipeline.tokenizer.vocab_size, 16)
    assert pipeline.network.inputs.x_prev
    assert pipeline.network.inputs.known
    assert not assemble(resolved("objective.self_conditioning=0.0")).network.inputs.x_prev


def test_equal_seeds_give_equal_networks() -> None:
    one, two, other = (assemble(resolved(f"train.seed={seed}")).network.state_dict() for seed in (1, 1, 2))
    assert all(one[key].equal(two[key]) for key in one)
    assert not all(one[key].equal(other[key]) for key in one)


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("codec.use=bitz", ManifestError, "codec.use: found unknown codec 'bitz'.*Did you mean bits?"),
        ("codec.use=base256", ManifestError, "codec.numbers: found an unknown key.*--set 'codec={use="),
        ("objective.los=v", ManifestError, "objective.los: found an unknown key. Did you mean loss?"),
        ("backbone.dept=3", ManifestError, "backbone.dept: found an unknown key.*Did you mean depth?"),
        ("backbone.depth=0", ManifestError, "backbone.depth: found 0; expected greater than or equal to 1"),
        ("backbone.patch_size=5", ManifestError, "backbone.patch_size: found 5; expected a divisor of image_size 16"),
        ("backbone.num_heads=0", ManifestError, "backbone.num_heads: found 0; expected greater than or equal to 1"),
        ("backbone.num_heads=5", ManifestError, "backbone.num_heads: found 5; expected a divisor of embed_dim 32"),
        ("schedule.noise_scale=nan", ManifestError, "schedule.noise_scale: found nan"),
        ("codec.numbers=800", ManifestError, "codec: found tokens of 267 pixels in an image of 16x16"),
        ("codec.numbers=2", ManifestError, "codec"),
        ('eval.metrics=["perplexitty"]', ManifestError, "eval.metrics: found unknown metric 'perplexitty'"),
        ('train.trackers=["tensorbord"]', ManifestError, "Did you mean tensorboard?"),
        ("tokenizer={use='tiktoken', file='../x.tiktoken'}", JitkitError, "relative path inside"),
    ],
)
def test_components_that_do_not_fit_are_refused(override: str, error: type[JitkitError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        assemble(resolved(override))
    assert "\n" not in str(caught.value.problems[0])


def test_all_wrong_tables_are_reported_together() -> None:
    with pytest.raises(ManifestError) as caught:
        resolved("codec.use=x", "sampler.use=y", "backbone.depth=-1")
    assert len(caught.value.problems) == 3


def test_a_component_without_its_protocol_is_a_plugin_error() -> None:
    import jitkit

    class Nothing(jitkit.Component):
        """Does not implement the protocol."""

        name = "nothing"

    class Plugin:
        @jitkit.hookimpl
        def jitkit_samplers(self):
            return [Nothing]

    manager = create_plugin_manager([Plugin()])
    text = TINY.replace('use = "euler"\nsteps = 3', 'use = "nothing"')
    with pytest.raises(PluginError, match="jitkit plugins check nothing"):
        resolve(parse_manifest(text, "tiny.toml"), Registry(manager), Files(Path()))


# Tokens a patch of 4x4 pixels, and codecs of 258 ids that make so many.
PATCHES = [(1, "code", 48), (2, "code", 24), (3, "code", 15), (4, "code", 12), (16, "digits", 3)]


@pytest.mark.parametrize(("tokens", "codec", "numbers"), PATCHES)
@pytest.mark.parametrize("layout", ["patch-major", "raster"])
@pytest.mark.parametrize("rope", ["grid", "text"])
def test_tokens_per_position_layout_and_rope_combine(tokens, codec, numbers, layout, rope) -> None:
    tables = f'codec={{use="{codec}", numbers={numbers}, layout="{layout}"}}', f'backbone.rope="{rope}"'
    if (layout, rope) == ("raster", "text"):
        with pytest.raises(ManifestError, match=r"backbone\.rope: found 'text' with a codec whose patches mix tokens"):
            assemble(resolved(*tables))
        return
    pipeline = assemble(resolved(*tables))
    whole, patches = tokens * 16, 16
    assert pipeline.codec.capacity == (whole if layout == "patch-major" else 256 // pipeline.codec.pixels_per_token)
    assert pipeline.codec.capacity // patches == tokens
    [text] = pipeline.generate([1])
    assert len(text.tokens) == pipeline.codec.capacity
