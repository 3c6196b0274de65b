import sys

import pytest
import torch

from spectra_cli.core.errors import ModelError, ProbeError
from spectra_cli.extract.models.users_code import guarded, told, users_code


def broken(tensor):
    return tensor @ torch.ones(5)


def test_what_it_raises_is_told_by_name_and_place():
    message = r"--model a:b: its loss raised KeyError: 'x'"
    with pytest.raises(ModelError, match=message) as raised, users_code("--model a:b", "its loss"):
        {}["x"]
    assert "test_users_code.py, line" in str(raised.value)
    assert isinstance(raised.value.__cause__, KeyError)


def test_the_place_is_the_users_line_and_not_torchs():
    with pytest.raises(ModelError, match=r"its head raised RuntimeError") as raised:
        guarded(torch.nn.Sequential(torch.nn.Linear(2, 3)), "--model a:b", "its head")(torch.ones(1, 7))
    # no line of the test's own is inside, and torch's would lead astray
    assert "line " not in str(raised.value)
    with pytest.raises(ModelError, match=r"test_users_code.py, line \d+, in broken"):
        guarded(lambda x: torch.nn.Sequential(Calling())(x), "--model a:b", "its head")(torch.ones(4))


class Calling(torch.nn.Module):
    def forward(self, x):
        return broken(x)


def test_leaving_the_program_is_an_error_like_any_other():
    with pytest.raises(ModelError, match=r"it raised SystemExit: 3 \(.*test_users_code.py, line \d+"):
        guarded(lambda _: sys.exit(3), "--model a:b", "it")(torch.ones(1))
    with pytest.raises(KeyboardInterrupt), users_code("--model a:b", "it"):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "error", [ProbeError("as it was"), torch.OutOfMemoryError("as it was"), MemoryError("as it was")]
)
def test_what_the_program_itself_handles_passes_through(error):
    with pytest.raises(type(error), match="as it was"), users_code("--model a:b", "it"):
        raise error


def test_an_error_without_a_message():
    assert told(ValueError()) == "ValueError: no message"
    assert told(ValueError("x" * 9999)) == f"ValueError: {'x' * 500} ..."
