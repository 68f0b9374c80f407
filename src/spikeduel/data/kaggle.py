"""Data sets from Kaggle, with clear words for those who have no token or no network."""

from pathlib import Path

from spikeduel.system.errors import InputError


def download_from_kaggle(handle: str, name: str) -> Path:
    """The folder where kagglehub has `handle` (it keeps a cache of its own). Raises `InputError`."""
    import kagglehub
    import requests

    page = f"https://www.kaggle.com/datasets/{handle}"
    by_hand = f"download {page} by hand and give the zip with --data-dir"
    try:
        return Path(kagglehub.dataset_download(handle))
    except requests.exceptions.HTTPError as error:
        code = getattr(error.response, "status_code", None)
        if code in (401, 403):
            raise InputError(
                f"{name}: Kaggle refuses the download (HTTP {code}), your token is missing or not valid: on "
                "kaggle.com, Settings, create an API token, then set the environment variable KAGGLE_API_TOKEN "
                f"to it, or save it as ~/.kaggle/access_token (an older kaggle.json works too). Or {by_hand}."
            ) from None
        raise InputError(f"{name}: Kaggle answered HTTP {code}. Try again later, or {by_hand}.") from None
    except (requests.exceptions.RequestException, ConnectionError, TimeoutError) as error:
        raise InputError(
            f"{name}: Kaggle cannot be reached ({type(error).__name__}). Check the network, or {by_hand}."
        ) from None
    # kagglehub has errors of its own (no token, a damaged kaggle.json, a broken archive), with no common base.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{name}: the download from Kaggle failed ({reason}). If a token is missing: on kaggle.com, "
            f"Settings, create an API token, then set KAGGLE_API_TOKEN to it. Or {by_hand}."
        ) from None
