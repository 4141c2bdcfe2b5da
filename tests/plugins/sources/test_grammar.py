"""Stories of a grammar as training text: its splits, its fingerprint, and how a file is chosen and refused."""

from itertools import islice

import pytest

from jitkit.errors import InputError, JitkitError, ManifestError, RefusedError
from jitkit.files import Files
from jitkit.recipe import open_recipe
from jitkit_plugins.sources.grammar import GrammarSource

GRAMMAR = """schema_version = 1
[rules]
story = ["The {size} {thing} {did}."]
size = ["big", "small", "tiny", "huge", "old"]
thing = ["cat", "dog", "cow", "hen", "pig"]
did = ["ran", "ate", "hid", "sat", "fell"]
"""


def write(folder, text=GRAMMAR, name="my.toml"):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


def source(folder=None, **settings):
    return GrammarSource(**settings).build(Files(folder))


def splits(folder=None, **settings):
    return {split: list(source(folder, **settings).documents(split)) for split in ("train", "validation")}


def test_every_story_is_in_one_split_and_equal_ones_are_in_the_same(tmp_path) -> None:
    found = splits(tmp_path, path=write(tmp_path), stories=1000, validation_fraction=0.3)
    assert sum(map(len, found.values())) == 1000
    assert len({*found["train"], *found["validation"]}) == 5**3
    assert not set(found["train"]) & set(found["validation"])
    assert 0.1 < len(found["validation"]) / 1000 < 0.5


def test_more_stories_continue_the_same_sequence() -> None:
    """Another number of stories or fraction to hold out neither changes nor reorders the stories that were there before."""
    few, more = splits(stories=300), splits(stories=900)
    for split in few:
        assert more[split][: len(few[split])] == few[split]
        assert len(more[split]) > len(few[split])
    other = splits(stories=300, validation_fraction=0.5)
    assert [text for text in other["train"] if text in few["train"]] == other["train"]


def test_the_levels_of_the_tales_are_rules_to_start_with() -> None:
    assert source().documents("train") is not source().documents("train")
    first, short = (list(islice(source(start=start).documents("train"), 20)) for start in ("", "short"))
    assert first == short
    assert all(len(text) <= 63 for text in short)


def test_the_fingerprint_changes_with_the_stories_and_only_then(tmp_path) -> None:
    def of(text=GRAMMAR, name="my.toml", **settings):
        return source(tmp_path, path=write(tmp_path, text, name), **settings).fingerprint()

    assert of(name="other.toml") == of() == of(GRAMMAR.replace("[rules]", "[rules] # comment"))
    assert of(GRAMMAR.replace("[rules]", '[violations]\nthing = "object"\n[rules]')) == of()  # stories are the same
    others = [
        of(seed=1),
        of(stories=10),
        of(validation_fraction=0.3),
        of(start="thing"),
        of(GRAMMAR.replace("hen", "ox")),
        of(GRAMMAR.replace('"hen"', '{ text = "hen", weight = 2 }')),
    ]
    assert len({of(), *others}) == 7


def test_a_grammar_named_by_data_chooses_the_source_and_nothing_else(tmp_path) -> None:
    path = tmp_path / write(tmp_path)
    plain, given = open_recipe("jit-nano"), open_recipe("jit-nano", data=path)
    assert given.manifest.data.use == "grammar"
    assert given.manifest.data.options == GrammarSource(path=str(path)).model_dump()
    assert given.manifest.model_dump(exclude={"data"}) == plain.manifest.model_dump(exclude={"data"})


# ------------------------------------------------------------------------------------------------ errors

HEAD = "schema_version = 1\n[rules]\n"
DEEP = HEAD + "".join(f'r{n} = ["x {{r{n + 1}}}"]\n' for n in range(2000)) + 'r2000 = ["y"]\n'
DOUBLED = HEAD + "".join(f'r{n} = ["{{r{n + 1}}} {{r{n + 1}}}"]\n' for n in range(40)) + 'r40 = ["y"]\n'
EMPTY_PARTS = HEAD + "".join(f'r{n} = ["{{r{n + 1}}}{{r{n + 1}}}", ""]\n' for n in range(18)) + 'r18 = ["", "."]\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, r"my\.toml: found no such file"),
        ("", r"my\.toml: found an empty file; expected a grammar"),
        ("Once upon a time\n", r"my\.toml:1: found a syntax error"),
        ("schema_version = 1\n", r"rules: found nothing"),
        (HEAD, r"my\.toml:2: rules: found \{\}; expected at least 1 item\."),
        (HEAD + "a = []\n", r"my\.toml:3: rules\.a: found \[\]; expected at least 1 item\."),
        (HEAD + "a = 'x'\n", r"my\.toml:3: rules\.a: found 'x'; expected an array\."),
        (HEAD + "a = ['x', 1]\n", r"my\.toml:3: rules\.a\[1\]: found 1; expected a text or a table\."),
        (HEAD + "a = [{text = []}]\n", r"my\.toml:3: rules\.a\[0\]\.text: found \[\]; expected at least 1 item\."),
        (HEAD + "a = [{text = 'x', she = 1}]\n", r"\.she: found 1; expected a text or an array of texts\."),
        (HEAD + "a = ['x']\nstart = 'a'\n", r"my\.toml:4: rules\.start: found 'a'; expected an array"),
        ("start = 'a'\n" + HEAD + "a = ['x']\n", r"my\.toml:1: start: found an unknown key"),
        (
            HEAD + "[[rules.a]]\nweight = 0\ntext = 'x'\n",
            r"my\.toml:4: rules\.a\[0\]\.weight: found 0; .* greater than 0",
        ),
        (HEAD + "[[rules.a]]\nshe = 'x'\n", r"rules\.a\[0\]\.text: found nothing"),
        (HEAD + "a = ['{colr}']\ncolor = ['red']\n", r"my\.toml:3: .*found rule colr; .* Did you mean color\?"),
        (HEAD + "a = ['{v:b} {w}']\nb = ['x']\n", r"my\.toml:3: .*found rule w; expected one of a, b, v\."),
        (HEAD + "a = ['{v:b}', '{v:bb}']\nb = ['x']\n", r"my\.toml:3: .*found rule bb; .* Did you mean b\?"),
        (HEAD + "a = ['{v:b} {v.she}']\nb = ['x']\n", r"my\.toml:3: .*found v\.she; expected a field she in every b"),
        (HEAD + "a = ['x {b}']\nb = ['{a}', 'y']\n", r"my\.toml:4: .*found rule a, which contains itself"),
        (HEAD + "a = ['{v}', '{v:b}']\nb = ['x']\n", r"my\.toml:3: .*found v, which some story has not drawn"),
        (HEAD + "a = ['{v:b} {v:b}']\nb = ['x', 'y']\n", r"found variable v, drawn a second time"),
        (HEAD + "a = ['{v:b} {w:b}']\nb = ['x']\n", r"found 2 variables of b; expected at most 1"),
        (HEAD + "a = ['{v:b} {v:c}']\nb = ['x']\nc = ['x']\n", r"found \{v:c\}; expected v:b"),
        (HEAD + "a = ['{b:b}']\nb = ['x']\n", r"found variable b; expected a name that no rule has"),
        (HEAD + "a = ['{b}s']\nb = ['x']\n", r"my\.toml:3: .*a word that continues at 's'; .*\{thing\.plural\}"),
        (HEAD + "a = ['{ b }']\nb = ['x']\n", r"my\.toml:3: .*found '\{ b \}'; expected \{rule\}"),
        (
            HEAD + "a = ['x', 'y', 'x']\n[violations]\nb = 'c'\n",
            r"my\.toml:5: violations\.b: .* expected a rule or field",
        ),
        (DEEP, r"my\.toml:\d+: .*rules nested more than 50 deep"),
        (DOUBLED, r"my\.toml:3: .*a story of more than 10\^12 characters; expected at most 1,000,000"),
        (
            'id = "x"\n[codec]\nuse = "bits"\n',
            r"my\.toml: data\.path: found a manifest; .* jitkit train MANIFEST --data",
        ),
    ],
)
def test_an_invalid_grammar_is_refused_in_one_line(tmp_path, text, sentence) -> None:
    if text is not None:
        write(tmp_path, text)
    with pytest.raises(ManifestError, match=sentence) as caught:
        source(tmp_path, path="my.toml")
    assert len(caught.value.problems) == 1
    assert caught.value.exit_code == 3


def test_a_large_file_is_refused(tmp_path) -> None:
    with pytest.raises(RefusedError, match=r"my\.toml: found more than 1048576 bytes"):
        source(tmp_path, path=write(tmp_path, GRAMMAR + "#" * (2 << 20)))


def test_an_unknown_start_is_an_error(tmp_path) -> None:
    with pytest.raises(ManifestError, match=r"my\.toml: data\.start: found rule 'thng'; .* Did you mean thing\?"):
        source(tmp_path, path=write(tmp_path), start="thng")


def test_parts_that_may_be_empty_are_checked_in_little_time(tmp_path) -> None:
    assert source(tmp_path, path=write(tmp_path, EMPTY_PARTS)).fingerprint()


@pytest.mark.parametrize(("text", "split"), [('a = ["x."]', "validation"), ('a = [""]', "train")])
def test_a_split_without_stories_is_an_error(tmp_path, text, split) -> None:
    found = source(tmp_path, path=write(tmp_path, HEAD + text), stories=100)
    with pytest.raises(InputError, match=f"found 100 stories, none of them in the {split} split") as caught:
        list(found.documents(split))
    assert caught.value.exit_code == 4
    assert isinstance(caught.value, JitkitError)
