"""The runs of a gallery as a table: CSV, and Parquet where pyarrow is installed. Torch-free."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from pokora_anime.history.gallery.gallery_runs import Entry, Value

CSV, PARQUET = "runs.csv", "runs.parquet"
MISSING = "no runs.parquet: pyarrow is not installed; pip install 'pokora_anime[parquet]'"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a spreadsheet's formulas begin


def rows(entries: Sequence[Entry]) -> tuple[list[str], list[dict[str, Value | None]]]:
    """Columns, and a row an entry: what it is, `key.NAME` for what made it, "stage.metric" for its scores."""
    plain = [_row(one) for one in entries]
    return list(dict.fromkeys(name for one in plain for name in one)), plain


def _row(one: Entry) -> dict[str, Value | None]:
    told: dict[str, Value | None] = {
        "name": one.name,
        "path": str(one.path or "").encode("utf-8", "backslashreplace").decode(),
        "still": None if one.still is None else one.still + 1,
        "status": one.status,
        "problem": one.problem,
        "command": one.command,
        "prompt": one.prompt,
        "seed": one.seed,
        "seconds": one.seconds,
        "sweep": one.sweep,
        "overall": one.overall,
        "again": one.line,
    }
    return told | {f"key.{name}": value for name, value in one.keys.items()} | dict(one.scores)


def as_csv(entries: Sequence[Entry]) -> bytes:
    """RFC 4180 in UTF-8. A text that a spreadsheet would take for a formula has an apostrophe in front."""
    columns, plain = rows(entries)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, restval="")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in one.items()} for one in plain)
    return buffer.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: Value | None) -> Value:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return "" if value is None else value


def has_parquet() -> bool:
    """Whether pyarrow is there."""
    return find_spec("pyarrow") is not None


def as_parquet(entries: Sequence[Entry]) -> bytes:
    """The same as one Parquet row group; a column of numbers and texts is a column of texts."""
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    columns, plain = rows(entries)
    table = {name: _column([one.get(name) for one in plain]) for name in columns}
    buffer = io.BytesIO()
    parquet.write_table(arrow.table(table), buffer, compression="zstd")
    return buffer.getvalue()


def _column(values: list[Value | None]) -> list[Value | None]:
    mixed = any(isinstance(value, str) for value in values)
    return [None if value is None else str(value) for value in values] if mixed else values
