"""Tables of other schema versions, read as this one: missing columns null, unknown ones ignored."""

from __future__ import annotations

import pyarrow as pa


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with exactly the schema's columns, in its order and types.

    A column whose values do not fit its type raises pyarrow.ArrowInvalid: it is not ours.
    """
    if table.schema.equals(schema):  # nearly always: a long run has thousands of frames
        return table
    columns = [
        table.column(field.name).cast(field.type)
        if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
