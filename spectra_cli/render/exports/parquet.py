"""Apache Parquet, by pyarrow: null for a missing number, meaning and unit in the metadata of each field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO

from spectra_cli.render.exports.target import FileTarget, FlatTable, encodable

_ROWS_A_GROUP = 1 << 17


def write(table: FlatTable, stream: BinaryIO) -> None:
    """Write groups of about 131,000 rows, so that the table need not be held as a whole."""
    import pyarrow as pa
    from pyarrow import parquet

    types = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    schema = pa.schema(
        [
            pa.field(each.name, types[each.kind], metadata={"long_name": each.meaning, "units": each.unit})
            for each in table.columns
        ]
    )
    with parquet.ParquetWriter(stream, schema) as writer:
        waiting: dict[str, list[Any]] = {name: [] for name in table.names}
        for part in table.parts:
            for each in table.columns:
                waiting[each.name].extend(_texts(part[each.name]) if each.kind is str else part[each.name])
            if len(waiting[table.names[0]]) >= _ROWS_A_GROUP:
                _write_group(writer, waiting, schema)
        _write_group(writer, waiting, schema)


def _write_group(writer: Any, waiting: dict[str, list[Any]], schema: Any) -> None:
    import pyarrow as pa

    # a NaN in a list is a missing number, as a None is
    columns = [pa.array(waiting[field.name], field.type, from_pandas=True) for field in schema]
    if len(columns[0]):
        writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    for cells in waiting.values():
        cells.clear()


def _texts(cells: Sequence[str]) -> list[str]:
    return [encodable(cell) for cell in cells]


TARGET = FileTarget(write=write, needs=("pyarrow.parquet", "parquet"))
