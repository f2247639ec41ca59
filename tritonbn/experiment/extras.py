"""What is installed only with an extra."""

from importlib.util import find_spec

from data_prep.city import DataError


def require_maps(what: str, *packages: str) -> None:
    """Raise `DataError` unless packages of the extra ``maps`` are installed.

    Parameters
    ----------
    what : str
        What they are needed for.
    *packages : str
        The names by which they are imported.
    """
    missing = [package for package in packages if not _is_installed(package)]
    if missing:
        raise DataError(f"{what} needs {', '.join(missing)}: pip install 'tritonbn[maps]'")


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of the package around it
        return False
