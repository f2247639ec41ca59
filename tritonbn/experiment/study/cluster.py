"""Workers of a Dask cluster, which need neither a disk nor a network in common with this machine.

Runs and results travel through the scheduler. A run whose worker has ended is done again by another
one.
"""

import pickle
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any
from uuid import uuid4

import tritonbn
from data_prep.city import CityData
from tritonbn.experiment.networks.config import ConfigError
from tritonbn.experiment.study.workers import Event, StoppedError, Workers

_TIMEOUT = "10s"


@contextmanager
def dask_workers(address: str, runs: int) -> Iterator[Workers]:
    """Connect to the scheduler of a Dask cluster.

    Parameters
    ----------
    address : str
        Such as ``tcp://HOST:8786``.
    runs : int
        Not used: the cluster has the workers that it has.

    Raises
    ------
    ConfigError
        If `distributed` is not installed, the scheduler cannot be reached, or a worker has another
        version of tritonbn.
    """
    try:
        import distributed
    except ImportError as error:
        raise ConfigError(
            "a scheduler needs the library distributed: pip install 'tritonbn[dask]'"
        ) from error
    try:
        client: Any = distributed.Client(address, timeout=_TIMEOUT)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no scheduler of Dask can be reached at {address!r} within {_TIMEOUT}; the address "
            "must be like tcp://HOST:8786"
        ) from error
    with client:
        _require_same_version(client)
        inbox: SimpleQueue[Event] = SimpleQueue()
        report = _EventReport(f"tritonbn-{uuid4()}")
        client.subscribe_topic(report.topic, lambda entry: inbox.put(pickle.loads(entry[1])))
        executor = client.get_executor(pure=False)
        try:
            yield Workers(
                executor,
                report,
                lambda: [inbox.get() for _ in range(inbox.qsize())],
                send=lambda city: client.submit(_itself, city, pure=False),
                losses=(CancelledError, distributed.KilledWorker),
                lost="workers of the cluster have ended, or its scheduler cannot be reached any "
                "more; the same command resumes the work",
            )
        finally:
            executor.shutdown(wait=False)  # cancels what still runs


def _require_same_version(client: Any) -> None:
    """Raise `ConfigError` if one of the present workers has another version of tritonbn."""

    def version() -> str:  # a nested function is sent as it is: the worker may lack this module
        from importlib import metadata

        try:
            return metadata.version("tritonbn")
        except metadata.PackageNotFoundError:
            return "not installed"

    for worker, there in client.run(version).items():
        if there != tritonbn.__version__:
            raise ConfigError(
                f"tritonbn of the worker {worker} is {there}, but here it is "
                f"{tritonbn.__version__}; install the same version of 'tritonbn[dask]' on all "
                "machines"
            )


def _itself(city: CityData) -> CityData:
    """Return a city; the result of a task is sent once, and computed again if a worker ends."""
    return city


@dataclass(frozen=True)
class _EventReport:
    """Publish events in a topic of the scheduler; called by a task in a worker."""

    topic: str

    def __call__(self, event: Event) -> None:
        from distributed import get_worker

        worker = get_worker()
        task = worker.state.tasks.get(worker.get_current_task())
        if task is None or task.state == "cancelled":
            raise StoppedError
        worker.log_event(self.topic, pickle.dumps(event))
