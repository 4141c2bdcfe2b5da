"""With the exact posterior, a sampler writes correct stories, and each as often as the grammar does."""

import json

import pytest

from jitkit_plugins.grammar.reading import read_grammar
from research.exact_posterior import main, stories_of

GRAMMAR = """
schema_version = 1

[rules]
story = ["{hero:name} met {friend:name}. {hero} {did}."]
name = ["Ann", "Ben", "Eva", "Tom"]
did = ["waved", "ran"]
"""


@pytest.mark.parametrize("evidence", ["1", "0.3"])
def test_every_sample_is_a_story_in_a_few_steps(tmp_path, capsys, evidence):
    file = tmp_path / "met.toml"
    file.write_text(GRAMMAR)
    stories = list(stories_of(read_grammar(file)))
    assert len(stories) == len(set(stories)) == 4 * 3 * 2
    main(["--grammar", str(file), "--steps", "12", "--texts", "40", "--evidence", evidence])
    found = json.loads(capsys.readouterr().out)
    assert found["valid"] == 1
    assert found["distinct"] > 0.4  # 24 stories in 40 samples: 20 on average
