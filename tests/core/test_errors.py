import errno

import pytest

from jitkit import errors
from jitkit.errors import MAX_SHOWN, InputError, Problem, ResourceError, counted, reading, shown, visible


def test_a_message_has_place_problem_and_hint() -> None:
    error = InputError("null", "a string", file="b.jsonl", line=812, field="text", hint="Look there.")
    assert str(error) == "b.jsonl:812: text: found null; expected a string. Look there."


def test_hostile_values_cannot_control_the_terminal() -> None:
    hostile = "\x1b]0;gotcha\x07\u202e\nsecond line"
    line = str(Problem(shown(hostile), file=hostile))
    assert "\n" not in line
    assert not any(c in line for c in "\x1b\x07\u202e")
    assert len(shown("x" * 10_000)) == errors.MAX_SHOWN


def test_things_are_counted_in_english() -> None:
    numbers = [(1, "epoch"), (2, "step"), (0, "byte"), (2048, "entry"), (3, "more mismatch")]
    assert [counted(*number) for number in numbers] == [
        "1 epoch",
        "2 steps",
        "0 bytes",
        "2,048 entries",
        "3 more mismatches",
    ]


def test_a_bug_asks_for_a_report() -> None:
    error = errors.InternalError(ValueError("a\nb" + "x" * 1000))
    assert error.lines()[0].startswith("internal error: ValueError: a\\nbxxx")
    assert len(error.lines()[0]) < 400
    assert "report it" in error.lines()[1]
    assert error.as_json()["error"]["code"] == 1


def test_long_names_are_cut() -> None:
    line = str(Problem("x", file="f" * 5000, field="k" * 5000, line=3))
    assert line.endswith("...: found x.")
    assert "...:3: k" in line
    assert len(line) < 700


def test_of_many_problems_some_are_printed_and_all_are_counted() -> None:
    many = InputError(problems=[Problem(str(number)) for number in range(4000)])
    assert len(many.lines()) == 21
    assert many.lines()[-1] == "4,000 errors (20 shown)"
    assert InputError(problems=[Problem("a"), Problem("b")]).lines() == [
        "error: found a.",
        "error: found b.",
        "2 errors",
    ]
    assert InputError("a").lines() == ["error: found a."]


def test_visible_keeps_text_of_every_script() -> None:
    text = "naïve 红楼梦 हिन्दी עברית"
    assert visible(text) == text


def test_exit_codes_are_the_documented_ones() -> None:
    codes = {cls.__name__: cls.exit_code for cls in errors.JitkitError.__subclasses__() if cls is not errors.Stopped}
    assert codes == {
        "InternalError": 1,
        "UsageError": 2,
        "ManifestError": 3,
        "InputError": 4,
        "PluginError": 5,
        "ResourceError": 6,
        "DivergedError": 7,
        "RefusedError": 8,
    }
    assert [errors.Stopped(number, "").code for number in (2, 15)] == [130, 143]
    assert errors.Stopped(15, "saved").as_json()["error"]["code"] == 143
    assert (errors.Stopped(2, "").lines(), errors.Stopped(2, "saved").lines()) == ([], ["saved"])


def test_json_carries_every_problem() -> None:
    error = InputError(problems=[Problem("a"), Problem("b", field="x")])
    document = error.as_json()["error"]
    assert document["code"] == 4
    assert document["found"] == "a"
    assert [other["field"] for other in document["others"]] == ["x"]


def test_values_of_any_size_and_depth_are_shown_in_bounded_time() -> None:
    deep: list[object] = []
    wide: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for _ in range(100):
        wide = [wide, wide]
    deep.append(deep)
    for value in (deep, wide, {"a": wide}, 10**5000, [10**5000], "x" * 10**6, list(range(10**5))):
        assert len(shown(value)) <= MAX_SHOWN
    assert shown([1, {"a": (2.5, None, "b")}]) == "[1, {'a': (2.5, None, 'b')}]"


def test_a_lack_of_memory_is_not_blamed_on_a_file() -> None:
    with pytest.raises(ResourceError, match="not enough memory"), reading("model.pth"):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")
