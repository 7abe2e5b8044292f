"""Raw images in, shards out.

A *shard* is a Parquet file of decoded images with their labels; `shards` has the format, its writer and its reader.
`sources` lists raw images, `audit` says what is wrong with them, and `python -m data_prep` runs the job.
"""

from data_prep.errors import InputError
from data_prep.escaping import printable
from data_prep.storage import Folder

__all__ = ["Folder", "InputError", "printable"]
