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
        Not used: the scheduler knows how many workers there are.

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
            "a scheduler needs the library distributed: pip install 'tritonbn[cluster]'"
        ) from error
    try:
        client: Any = distributed.Client(address, timeout=_TIMEOUT)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no scheduler of Dask can be reached at {address!r} within {_TIMEOUT}; the address "
            "must be like tcp://HOST:8786"
        ) from error
    with client:
        for worker, version in client.run(_version).items():
            if version != tritonbn.__version__:
                raise ConfigError(
                    f"the worker {worker} has tritonbn {version}, but this is tritonbn "
                    f"{tritonbn.__version__}; install the same version on all machines"
                )
        inbox: SimpleQueue[Event] = SimpleQueue()
        report = _EventReport(f"tritonbn-{uuid4()}")
        client.subscribe_topic(report.topic, lambda entry: inbox.put(pickle.loads(entry[1])))
        executor = client.get_executor(pure=False)
        try:
            yield Workers(
                executor,
                report,
                lambda: [inbox.get() for _ in range(inbox.qsize())],
                (CancelledError, distributed.KilledWorker),
            )
        finally:
            executor.shutdown(wait=False)  # cancels what still runs


def _version() -> str:
    return tritonbn.__version__


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
