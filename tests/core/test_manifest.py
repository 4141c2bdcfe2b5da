import json
import time
from pathlib import Path

import pytest

from jitkit.errors import JitkitError, ManifestError, RefusedError
from jitkit.manifest.reader import RENAMED, parse_manifest, read_manifest
from jitkit.manifest.writer import manifest_to_toml

TABLES = ("tokenizer", "codec", "backbone", "schedule", "objective", "sampler", "data")
GOOD = (
    'schema_version = 1\nid = "m"\nsummary = "s"\n'
    + "".join(f'[{table}]\nuse = "x"\nsize = 3\n' for table in TABLES)
    + "[train]\nmax_steps = 3\n"
)


def problems(text: str, *overrides: str) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(text, "m.toml", overrides)
    return [str(problem) for problem in caught.value.problems]


def test_a_written_manifest_reads_equal() -> None:
    manifest = parse_manifest(GOOD, "m.toml", ["train.ema=[0.9, 0.99]", "codec.layout=raster"])
    again = parse_manifest(manifest_to_toml(manifest), "again")
    assert again.model_dump() == manifest.model_dump()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lrr = 1e-3", "m.toml:27: train.lrr: found an unknown key. Did you mean lr?"),
        ("zzz = 1e-3", "m.toml:27: train.zzz: found an unknown key; expected one of epochs"),
        ('epochs = "12"', "m.toml:27: train.epochs: found '12'; expected an integer."),
        ("epochs = true", "m.toml:27: train.epochs: found True; expected an integer."),
        ("epochs = 3.0", "m.toml:27: train.epochs: found 3.0; expected an integer."),
        ("lr = nan", "m.toml:27: train.lr: found nan; expected a finite number."),
        ("lr = inf", "m.toml:27: train.lr: found inf; expected a finite number."),
        ("lr = 1e999999", "m.toml:27: train.lr: found inf; expected a finite number."),
        ('optimizer = "sgd"', "m.toml:27: train.optimizer: found 'sgd'; expected 'adamw' or 'muon'."),
        ("lr = -1.0", "m.toml:27: train.lr: found -1.0; expected greater than 0."),
        ("ema = [0.9, 1.5]", "m.toml:27: train.ema[1]: found 1.5; expected less than 1."),
        ("accumulate = 5", "m.toml:27: train.accumulate: found 5; expected a divisor of batch_size 64."),
        ("max_steps = 4", "m.toml:27: found a syntax error: cannot overwrite a value; expected TOML."),
        ("x = ", "m.toml:27: found a syntax error: invalid value; expected TOML."),
    ],
)
def test_an_invalid_line_is_named(line: str, expected: str) -> None:
    assert problems(GOOD + line + "\n")[0].startswith(expected)


def test_the_closest_name_is_suggested() -> None:
    assert problems(GOOD + "warmup_epoch = 1\n")[0].endswith("Did you mean warmup_epochs?")
    [problem] = problems(GOOD.replace("[sampler]", "[samplers]"))  # and not that [sampler] is missing
    assert problem.endswith("samplers: found an unknown key. Did you mean sampler?")
    assert len(problems(GOOD.replace("[sampler]", "[other]"))) == 2
    assert problems(GOOD + "[teacher]\nstep = 8\n")[0].endswith("step: found an unknown key. Did you mean steps?")


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("lr=1", "Did you mean `--set train.lr=`?"),
        ("train.learning_rate=1", "Did you mean `--set train.lr=`?"),
        ("backbone.max-iters=1", ""),
        ("train.max_iters=1", "Did you mean `--set train.max_steps=`?"),
        ("num_windows=3", "Did you mean `--set eval.num_windows=`?"),
        ("steps=3", "Did you mean `--set eval.steps=` or `--set teacher.steps=`?"),
        ("size=3", "Did you mean `--set tokenizer.size=` or `--set codec.size=` or `--set backbone.size=`?"),
        ("train.eppochs=1", "Did you mean epochs?"),
        ("trian.lr=1", "Did you mean train?"),
    ],
)
def test_a_key_is_found_by_its_name_in_another_table_or_elsewhere(override: str, hint: str) -> None:
    if not hint:
        assert parse_manifest(GOOD, "m.toml", [override])  # the component knows its keys
        return
    [problem] = problems(GOOD, override)
    assert problem.startswith("--set: ")
    assert problem.endswith(f". {hint}")


def test_hints_about_a_file_name_keys() -> None:
    assert problems(GOOD + "learning_rate = 1\n")[0].endswith(". Did you mean train.lr?")
    assert not problems(GOOD + "unheard_of = 1\n")[0].endswith("?")


def test_all_problems_are_reported_together() -> None:
    assert len(problems(GOOD + "lr = -1.0\nkeep = 0\nbatch_sise = 1\n")) == 3


def test_missing_tables_and_newer_schemas_are_refused() -> None:
    assert problems("schema_version = 1\nid = 'x'\nsummary = 'y'\n")[0].startswith("m.toml: tokenizer: found nothing")
    assert (
        "schema_version: found 2; expected 1" in problems(GOOD.replace("schema_version = 1", "schema_version = 2"))[0]
    )
    assert "found an empty file" in problems("  \n")[0]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_only_a_newline_ends_a_line(separator: str) -> None:
    """`str.splitlines` also splits at these, which may occur in comments and strings."""
    text = f"# one{separator}line\n" + GOOD.replace('"s"', f'"s{separator}"')
    assert problems(text + "lrr = 1\n")[0].startswith("m.toml:28: train.lrr")
    assert problems(text + "x = \n")[0].startswith("m.toml:28: found a syntax error")


@pytest.mark.parametrize("quotes", ['"""', "'''"])
def test_what_a_string_contains_is_no_key(quotes: str) -> None:
    text = GOOD.replace('"s"', f"{quotes}\n[train]\nlrr = 1\nkeys = [\n{'.' * 150}\n{quotes}")
    assert problems(text + "lrr = 1\n")[0].startswith("m.toml:32: train.lrr")
    assert parse_manifest(text, "m.toml").summary.startswith("[train]")
    assert problems(GOOD + "ema = [\n  [1],\n]\nlrr = 1\n")[1].startswith("m.toml:30: train.lrr")


def test_thousands_of_problems_are_found_quickly_and_counted() -> None:
    text = GOOD + "".join(f"[table{number}]\nx = 1\n" for number in range(4000))
    started = time.process_time()
    found = problems(text)
    assert time.process_time() - started < 5
    assert len(found) == 51
    assert found[49].startswith("m.toml:125: table49: found an unknown key")
    assert found[50] == "m.toml: found 3,950 more errors."


def test_a_long_name_is_cut() -> None:
    [problem] = problems(GOOD + "x" * 9999 + " = 1\n")
    assert "xxx...: found an unknown key" in problem
    assert len(problem) < 600


LONG = "a." * 5000 + "a"


@pytest.mark.parametrize("text", [f"{LONG}=1", f"x={{{LONG}=1}}", f"x=[{{y.{LONG}=1}}]"])
def test_a_key_of_thousands_of_parts_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match=r"^--set: found a key of more than 100 parts"):
        parse_manifest(GOOD, "m.toml", [text])
    with pytest.raises(RefusedError, match=r"^m\.toml:28: found a dotted key of more than 100 parts"):
        parse_manifest(f"{GOOD}# {LONG}\n{text}\n", "m.toml")


def test_deep_nesting_is_refused() -> None:
    for text in ("[" * 250 + "]" * 250, "{a=" * 250 + "1" + "}" * 250):
        assert "nested too deeply" in problems(f"{GOOD}x = {text}\n")[0]
        assert "nested too deeply" in problems(GOOD, f"x={text}")[0]


def test_an_override_that_is_no_unicode_is_refused() -> None:
    assert problems(GOOD, "data.path=nov\udce9l")[0].startswith(
        "--set: found 'data.path=nov\\udce9l'; expected text in UTF-8"
    )


def test_a_git_lfs_pointer_is_no_manifest(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n")
    with pytest.raises(ManifestError, match=r"m\.toml: found a Git LFS pointer; expected a manifest.*git lfs pull"):
        read_manifest(path)


def test_overrides_take_precedence_and_are_named_in_errors() -> None:
    assert parse_manifest(GOOD, "m.toml", ["train.max_steps=9"]).train.max_steps == 9
    assert parse_manifest(GOOD, "m.toml", ["codec.use=bits"]).codec.use == "bits"
    assert problems(GOOD, "train.max_steps=many") == ["--set: train.max_steps: found 'many'; expected an integer."]
    assert problems(GOOD, "train")[0].startswith("--set: found 'train'; expected KEY=VALUE")
    assert "which is not a table" in problems(GOOD, "id.x=1")[0]


def test_a_removed_key_is_read_with_its_default_only() -> None:
    manifest = parse_manifest(GOOD + 'x_prev = "here"\n', "m.toml", ["train.x_prev=here"])
    assert manifest.model_dump() == parse_manifest(GOOD, "m.toml").model_dump()
    assert not manifest.source.notes
    removed = "train.x_prev: found 'earlier'; expected no such key. 'earlier' was removed"
    assert problems(GOOD + 'x_prev = "earlier"\n')[0].startswith(f"m.toml:27: {removed}")
    assert problems(GOOD, "train.x_prev=earlier")[0].startswith(f"--set: {removed}")


def test_a_renamed_key_is_read_under_its_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RENAMED, "train.rate", "train.lr")
    manifest = parse_manifest(GOOD + "rate = 0.5\n", "m.toml")
    assert manifest.train.lr == 0.5
    assert manifest.source.notes == ("m.toml: train.rate is now called train.lr",)
    assert parse_manifest(GOOD + "lr = 0.5\n", "m.toml", ["train.rate=0.25"]).train.lr == 0.25
    assert problems(GOOD, "train.rate=-1.0") == ["--set: train.lr: found -1.0; expected greater than 0."]


def test_the_old_name_of_the_token_posterior_is_still_read() -> None:
    manifest = parse_manifest(GOOD, "m.toml", ["objective.reading=true"])
    assert manifest.objective.options["token_posterior"] is True
    assert "reading" not in manifest.objective.options
    assert manifest.source.notes == ("m.toml: objective.reading is now called objective.token_posterior",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfei\x00", "UTF-16"),
        (b"id = '\xe9'", "invalid UTF-8 at byte 6"),
        (json.dumps({"id": 1}).encode(), "syntax error"),
        (b"schema_version: 1\nid: m\n", "m.toml:1: found a syntax error"),
        (b"x = " + b"9" * 5000, "Exceeds the limit"),
        (b"x = " + b"[" * 3000 + b"]" * 3000, "nested too deeply"),
        (b"a" + b".a" * 20_000 + b" = 1", "100 parts"),
        (b"#" * (2 << 20), "1 MiB"),
        (b"date = 2020-01-01", "unknown key"),
    ],
)
def test_hostile_files_are_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "m.toml"
    path.write_bytes(content)
    with pytest.raises((ManifestError, RefusedError), match=message) as caught:
        read_manifest(path)
    assert "\n" not in str(caught.value.problems[0])


def test_a_byte_order_mark_is_harmless(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert read_manifest(path).id == "m"


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.toml"):
        with pytest.raises(JitkitError, match=str(path)):
            read_manifest(path)
