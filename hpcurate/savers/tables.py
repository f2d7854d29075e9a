"""Tables of pandas and of Arrow, as Parquet. Python 3.9."""

from __future__ import annotations

from typing import Any

from hpcurate.savers.base import Facts, Saver, module_of


class TableSaver(Saver):
    """What was a data frame is read as one, what was an Arrow table as that."""

    suffix = ".parquet"
    libraries = ("pyarrow", "pandas")

    def takes(self, value: Any) -> bool:
        """See `Saver`."""
        pandas, arrow = module_of("pandas"), module_of("pyarrow")
        return (pandas is not None and isinstance(value, pandas.DataFrame)) or (
            arrow is not None and isinstance(value, arrow.Table)
        )

    def write(self, value: Any, path: str) -> Facts:
        """Through a file of its own: in a path, `a=b` would be a column."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        is_arrow = isinstance(value, pa.Table)
        with open(path, "wb") as file:
            if is_arrow:
                pq.write_table(value, file)
            else:
                value.to_parquet(file, engine="pyarrow")
        with open(path, "rb") as file:
            schema = pq.read_schema(file)
        columns = {field.name: str(field.type) for field in schema}
        return {"library": "pyarrow" if is_arrow else "pandas", "rows": len(value), "columns": columns}

    def read(self, path: str, facts: Facts) -> Any:
        """See `Saver`."""
        import pyarrow.parquet as pq

        with open(path, "rb") as file:
            if facts.get("library") == "pyarrow":
                return pq.read_table(file)
            import pandas as pd

            return pd.read_parquet(file, engine="pyarrow")
