"""A tidy table: a row a value, and the same as a data frame of pandas or polars, or a dataset of xarray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spectra_cli.core.errors import UnknownNameError
from spectra_cli.core.shown import Shown
from spectra_cli.core.words.names import did_you_mean

if TYPE_CHECKING:
    import pandas
    import polars
    import xarray


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TidyTable(Shown):
    """Rows under columns, complete; printed, it shows what there is room for and says so.

    Attributes:
        columns: their names, in order.
        rows: of each a value for every column, None where there is none.
        index: the columns that together name a row; empty where none do.
        leading: the columns that are printed in any case, beside those of the index; empty for all.
        title: above it, printed.

    >>> rows = ({"step": 0, "loss": 5.5}, {"step": 9, "loss": 4.25})
    >>> table = TidyTable(columns=("step", "loss"), rows=rows)
    >>> table["loss"], len(table)
    ([5.5, 4.25], 2)
    >>> [row["step"] for row in table]
    [0, 9]
    """

    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    index: tuple[str, ...] = ()
    leading: tuple[str, ...] = ()
    title: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.rows)

    def __getitem__(self, column: str) -> list[Any]:
        """The values of a column.

        Raises:
            UsageError: there is none of that name.
        """
        if column not in self.columns:
            meant = did_you_mean(column, self.columns)
            raise UnknownNameError(
                f"no column is called {column!r}{meant}; columns: {', '.join(self.columns)}"
            )
        return [row[column] for row in self.rows]

    def to_pandas(self) -> pandas.DataFrame:
        """A `pandas.DataFrame`: missing numbers NaN, missing whole numbers `<NA>`.

        Raises:
            UsageError: pandas is not installed.
        """
        from spectra_cli.api.values.conversions import as_pandas

        made: pandas.DataFrame = as_pandas(self._columns())
        return made

    def to_polars(self) -> polars.DataFrame:
        """A `polars.DataFrame`: what is missing is null.

        Raises:
            UsageError: polars is not installed.
        """
        from spectra_cli.api.values.conversions import as_polars

        made: polars.DataFrame = as_polars(self._columns())
        return made

    def to_xarray(self) -> xarray.Dataset:
        """An `xarray.Dataset` with a dimension for each column of the index, in the order of the rows.

        A column that follows from one of them alone (the step, from the checkpoint) is a coordinate along it;
        where the table has no row for a place, a number is NaN and a text empty. Without an index the one
        dimension is `row`.

        Raises:
            UsageError: xarray is not installed.
        """
        from spectra_cli.api.values.conversions import as_xarray

        made: xarray.Dataset = as_xarray(self._columns(), self.index)
        return made

    def _columns(self) -> dict[str, list[Any]]:
        return {name: self[name] for name in self.columns}
