"""Start a command twice at once, with the same folder."""

from pathlib import Path

from reliability.commands import finish, launch, numbers


def at_once(command: str, city: Path, out: Path) -> tuple[list[str], dict[str, str]]:
    """Return how each of two processes ended, ``done`` or ``refused``, and the numbers."""
    processes = [launch(command, city, out) for _ in range(2)]
    ends = [end_of(*finish(process)) for process in processes]
    return sorted(ends), numbers(out)


def end_of(status: int, lines: list[str]) -> str:
    """Return ``done`` or ``refused``, or else what was said."""
    if (status, lines) == (0, []):
        return "done"
    if status == 2 and len(lines) == 1 and "is in use by another process" in lines[0]:
        return "refused"
    return f"{status}: {lines}"
