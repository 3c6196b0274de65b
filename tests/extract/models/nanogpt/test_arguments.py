import pytest

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.nanogpt.arguments import count, flag, number, one_of, unstated


def test_what_is_stated_is_read():
    arguments = {"word": "a", "size": 3, "scale": 0.5}
    assert one_of(arguments, "word", ("a", "b"), "x.pt") == "a"
    assert count(arguments, "size", "x.pt") == 3
    assert number(arguments, "scale", 1.0, "x.pt") == 0.5
    assert number(arguments, "size", 1.0, "x.pt") == 3.0


def test_what_is_not_stated_is_none_or_the_default():
    assert one_of({}, "word", ("a",), "x.pt") is None
    assert count({"size": None}, "size", "x.pt") is None
    assert number({}, "scale", 1.5, "x.pt") == 1.5
    assert flag({}, "it", True, "x.pt")
    assert not flag({"it": False}, "it", True, "x.pt")


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (lambda a: one_of(a, "it", ("a", "b"), "x.pt"), "c"),
        (lambda a: count(a, "it", "x.pt"), 0),
        (lambda a: count(a, "it", "x.pt"), 2.0),
        (lambda a: count(a, "it", "x.pt"), True),
        (lambda a: flag(a, "it", True, "x.pt"), 1),
        (lambda a: number(a, "it", 1.0, "x.pt"), "1"),
        (lambda a: number(a, "it", 1.0, "x.pt"), float("nan")),
        (lambda a: number(a, "it", 1.0, "x.pt"), True),
    ],
)
def test_other_kinds_are_refused_by_name(read, value):
    with pytest.raises(ModelError, match=r"x\.pt: it is .*; expected"):
        read({"it": value})


def test_the_way_out_is_named():
    message = str(unstated("x.pt: nothing says how many heads", "n_head", "num_heads"))
    assert message == (
        "x.pt: nothing says how many heads; say it with --set model.n_head=VALUE or "
        "--set model.num_heads=VALUE, in the table [model] of run.toml, or in args.json "
        "beside the checkpoints"
    )
