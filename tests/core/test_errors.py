from jitkit import errors
from jitkit.errors import MAX_SHOWN, InputError, Problem, counted, shown, visible


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


def test_visible_keeps_text_of_every_script() -> None:
    text = "naïve 红楼梦 हिन्दी עברית"
    assert visible(text) == text


def test_exit_codes_are_the_documented_ones() -> None:
    codes = {cls.__name__: cls.exit_code for cls in errors.JitkitError.__subclasses__() if cls is not errors.Stopped}
    assert codes == {
        "UsageError": 2,
        "ManifestError": 3,
        "InputError": 4,
        "PluginError": 5,
        "ResourceError": 6,
        "DivergedError": 7,
        "RefusedError": 8,
    }
    assert [errors.Stopped(number, "").code for number in (2, 15)] == [130, 143]


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
