"""Tables that a command of the analysis keeps in a record's folder, beside those of the sweep."""

import pandas as pd
import pyarrow as pa

from data_prep.errors import InputError
from data_prep.storage import Folder


def kept(folder: Folder, file: str, schema: pa.Schema, command: str) -> pd.DataFrame:
    """The table `file`, with the columns of `schema`; without rows if there is none.

    Raises InputError if it cannot be read, which names the `command` that makes it anew.
    """
    try:
        table = folder.read_table(file).select(schema.names)
    except FileNotFoundError:
        table = schema.empty_table()
    except (pa.ArrowException, KeyError, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"{folder}/{file} cannot be read ({reason}); delete it and run `{command}` again.")
    frame: pd.DataFrame = table.to_pandas()
    return frame
