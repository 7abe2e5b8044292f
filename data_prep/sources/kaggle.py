"""CIFAKE from Kaggle: the data set's zip, fetched through the `kaggle` package.

The package (its source was read at 2.2.4) logs in, follows the redirect to the storage, draws the bar, retries, and
continues a killed download by Range if the storage has an ETag and takes ranges. It checks no checksum, writes under
the final name from the first byte, and prints. So this module checks the download, keeps the unfinished file beside it
as `.part`, and turns failures into one sentence.
"""

import base64
import contextlib
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import requests

from data_prep.errors import InputError

OWNER, SLUG = "birdy654", "cifake-real-and-ai-generated-synthetic-images"
BY_HAND = f"download the zip in a browser from https://www.kaggle.com/datasets/{OWNER}/{SLUG} and pass --source PATH"
LOG_IN = (
    "create a token at https://www.kaggle.com/settings/api and set KAGGLE_API_TOKEN to it"
    f" (or KAGGLE_USERNAME and KAGGLE_KEY), or {BY_HAND}"
)
REFUSALS = {  # HTTP status: what it means here, and the remedy
    401: f"Kaggle refused the credentials (HTTP 401): {LOG_IN}.",
    403: f"Kaggle does not let these credentials have {OWNER}/{SLUG} (HTTP 403): {LOG_IN}.",
    404: f"Kaggle knows no data set {OWNER}/{SLUG} (HTTP 404): find its zip in a browser and pass --source PATH.",
}


def fetch(folder: Path) -> Path:
    """Download CIFAKE's zip (some 100 MB) into `folder`, which is created, and return its path.

    A zip that is already there is returned without asking Kaggle. The bar, and what was checked, go to stderr.
    Raises InputError, one sentence with the remedy, without credentials or network, or for a damaged download.
    """
    whole = folder / f"{SLUG}.zip"
    # The name alone proves nothing: the kaggle command keeps its unfinished downloads under it. A zip is whole if it
    # has its directory, which stands at the end; to check all CRCs of CIFAKE would take 5 s at each call.
    if not zipfile.is_zipfile(whole):
        part = folder / f"{whole.name}.part"
        with contextlib.redirect_stdout(io.StringIO()):  # the package prints advice and every retry
            checked = _download(part)
        part.replace(whole)
        click.echo(f"{whole.name}: {checked} checked", err=True)
    return whole


def _download(part: Path) -> str:
    """Log in and bring `part` to the whole zip, continuing what is there; return what was checked.

    Raises InputError without credentials that Kaggle accepts, and, once `part` is deleted, if its bytes are not those
    that the server announced.
    """
    with _in_one_sentence(f"The Kaggle credentials cannot be used: {LOG_IN}."):
        # Late, because importing the package logs in, makes its settings folder and may exit. It hides why a login
        # failed, so log in again and see.
        from kaggle.api.kaggle_api_extended import KaggleApi

        api = KaggleApi()
        api.authenticate()
    from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

    request = ApiDownloadDatasetRequest()
    request.owner_slug, request.dataset_slug = OWNER, SLUG
    with (
        _in_one_sentence(
            f"The download cannot be written in {part.parent}: make room there or choose another folder, or {BY_HAND}."
        ),
        api.build_kaggle_client() as client,
        client.datasets.dataset_api_client.download_dataset(request) as response,
    ):
        part.parent.mkdir(parents=True, exist_ok=True)
        # A whole part was left by a kill just before its renaming; the package would download it again.
        with contextlib.suppress(FileNotFoundError, ValueError):
            return _check(part, response.headers)
        try:
            api.download_file(response, str(part), client.http_client(), quiet=False, resume=True)
            return _check(part, response.headers)
        except ValueError as error:  # the package's own for a wrong size, or ours
            part.unlink(missing_ok=True)
            raise InputError(
                f"The download was damaged ({error}) and is deleted: run the same command again, or {BY_HAND}."
            ) from error


def _check(part: Path, headers: Mapping[str, str]) -> str:
    """Return what `part` was checked by: size in bytes, then md5 if the storage gives one, else every CRC in the zip.

    Raises ValueError naming what differs from the announced.
    """
    size = headers.get("Content-Length")
    if size is not None and part.stat().st_size != int(size):
        raise ValueError(f"{part.stat().st_size} bytes instead of {size}")
    # `crc32c=AAAA==,md5=BBBB==`, without md5 for composite objects. Not the ETag: it is an md5 only for some objects,
    # and a wrong guess would refuse a good file for ever.
    if announced := re.search(r"\bmd5=([^,\s]+)", headers.get("x-goog-hash", "")):
        with part.open("rb") as file:  # md5 guards against damage, not against an attacker, so it may run under FIPS
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
        if base64.b64encode(digest).decode() != announced[1]:
            raise ValueError("its md5 is not the one that Kaggle announced")
        return "md5"
    # Damage raises what it happens to hit: zlib.error, NotImplementedError, struct.error ...
    with contextlib.suppress(Exception), zipfile.ZipFile(part) as archive:
        if archive.testzip() is None:
            return "the zip's CRCs" if size is None else "size and the zip's CRCs"
    raise ValueError("it is not a zip with right CRCs")


@contextlib.contextmanager
def _in_one_sentence(otherwise: str) -> Iterator[None]:
    """Turn what the kaggle package raises, its exit included, into InputError; `otherwise` is said of local errors."""
    try:
        yield
    except (SystemExit, requests.exceptions.InvalidHeader) as error:  # the latter from a token with a line break
        raise InputError(f"No Kaggle credentials were found that Kaggle accepts: {LOG_IN}.") from error
    except requests.HTTPError as error:
        status = 0 if error.response is None else error.response.status_code
        raise InputError(
            REFUSALS.get(status)
            or f"Kaggle answered with HTTP {status}: run the same command again later, or {BY_HAND}."
        ) from error
    except (requests.RequestException, json.JSONDecodeError) as error:
        raise InputError(
            "Kaggle cannot be reached, or the connection broke off: check the network and run the same command again, "
            f"which continues what it has, or {BY_HAND}."
        ) from error
    except (OSError, ValueError) as error:
        # Without the error's own text, which may hold the token: the package tries it as a file's path.
        raise InputError(otherwise) from error
