import inspect

import pytest

from spectra_cli.core import errors
from spectra_cli.core.errors import BudgetError, DataError, SpectraError, UnsafePickleError, UsageError

TREE = [e for _, e in inspect.getmembers(errors, inspect.isclass) if e.__module__ == errors.__name__]


@pytest.mark.parametrize("error", TREE)
def test_one_tree_with_two_exit_codes(error):
    assert issubclass(error, SpectraError)
    assert error.exit_code == (2 if issubclass(error, UsageError | errors.NoReaderError) else 3)
    assert str(error("what was found")) == "what was found"


def test_the_drawing_names_every_error():
    assert all(error.__name__ in errors.__doc__ for error in TREE)


def test_a_budget_is_no_fault_of_the_data():
    assert not issubclass(BudgetError, DataError)
    assert issubclass(UnsafePickleError, errors.CheckpointError)
