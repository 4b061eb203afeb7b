"""Cells on the nodes of a Ray cluster: each is an actor that starts the cell's process there.

An actor that is killed, or whose node is lost, is a killed cell: it is started again, wherever
there is room. Nothing is downloaded, sent to Ray's makers or shown on a dashboard.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import signal
import socket
import threading
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from detbench import __version__, inputs
from detbench.errors import DetbenchError, DeviceError, StoreError
from detbench.results.files import Lock, write_atomic
from detbench.results.merge_work import KEPT
from detbench.results.store import Store
from detbench.runner import process as exits
from detbench.runner.job import CostJob, TrainJob
from detbench.runner.launchers.launcher import Heard, How, Inbox
from detbench.runner.launchers.node import (
    CHECKPOINT,
    CellHost,
    Files,
    Order,
    private_temporary,
    work,
)
from detbench.runner.options import Options

HEAR_S = 1.0
ANSWER_S = 10.0
SOCKETS = 40
"""Letters of a folder below which Ray's sockets have names that the system takes (107 in all)."""
LOST = -int(signal.SIGKILL)
"""Exit code of a cell whose actor or node is gone."""


@contextmanager
def cluster(options: Options, root: Path) -> Iterator[Cluster]:
    """A connection to the cluster at ``options.ray_address``, or to one that is started here and
    listens to this machine alone.

    Raises:
        DeviceError: Ray is not installed, nothing answers, or no node has what a cell needs.
    """
    address = options.ray_address or os.environ.get("RAY_ADDRESS")
    alone = _alone(address)
    ray = _ray(alone)
    _check_answers(address)
    token = root / "work" / f".seen-{uuid.uuid4().hex}"
    try:
        ray.init(
            address=options.ray_address,
            include_dashboard=False,
            logging_level=logging.ERROR,
            log_to_driver=False,
            namespace="detbench",
            **({"_temp_dir": _folder()} if alone else {}),
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _no_cluster(options.ray_address or "this machine", error) from error
    try:
        made = Cluster(ray, options, root, token.relative_to(root))
        write_atomic(token, socket.gethostname().encode())
        # Ray prints there what its nodes report; of a lost cell it goes to the cell's log.
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            yield made
    finally:
        token.unlink(missing_ok=True)
        ray.shutdown()


def _alone(address: str | None) -> bool:
    """Whether Ray is about to start a cluster: none is named, and none runs here."""
    if address and address != "local":
        return False
    place = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    known = Path(place) / "ray" / "ray_current_cluster"
    try:
        _check_answers(None if address else inputs.text(known).strip())
    except (OSError, ValueError, DeviceError):  # nobody has started one, or it has gone
        return True
    return bool(address)


def _folder() -> str | None:
    """Of the sockets and logs of a cluster of our own, private; None is Ray's choice, where the
    temporary directory has a longer name than sockets can.
    """
    folder = private_temporary() / "ray"
    return str(folder) if len(str(folder)) <= SOCKETS else None


def _check_answers(address: str | None) -> None:
    """Raise ``DeviceError`` if nobody listens at HOST:PORT, for which Ray itself waits minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(str(address), error) from error


def _no_cluster(address: str, error: Exception) -> DeviceError:
    why = (str(error).splitlines() or [type(error).__name__])[0]
    return DeviceError(
        f"no Ray cluster at {address} ({why}): start one with `ray start --head`, or take "
        "--launcher local"
    )


def _ray(alone: bool = False) -> Any:
    """The module; ``alone`` has what it starts listen on the loopback device only."""
    if importlib.util.find_spec("ray") is None:
        raise DeviceError("--launcher ray needs Ray: pip install 'detbench[ray]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if alone:
        # On Linux as Ray has it on other systems, for a cluster that no other machine is to join;
        # it is read when Ray is imported.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("ray")


class Cluster:
    """Starts cells as actors.

    Args:
        token: a file below ``root`` by which nodes know the folder.
    """

    def __init__(self, ray: Any, options: Options, root: Path, token: Path) -> None:
        self.ray, self.root, self.token = ray, root, token
        self._options, self.command = options, options.command
        self.threads, self.notice = options.threads or 1, ""
        self._needs = {"CPU": float(self.threads * options.processes)}
        total = ray.cluster_resources()
        if options.device.startswith("cuda") or (options.device == "auto" and total.get("GPU")):
            self._needs["GPU"] = float(options.gpus_per_cell)
        self._check()

    def _check(self) -> None:
        """Raise unless some node has what a cell needs."""
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        if not any(self._fits(node) for node in nodes):
            needs = ", ".join(f"{amount:g} {name}s" for name, amount in self._needs.items())
            most = {name: max(node.get(name, 0) for node in nodes) for name in self._needs}
            has = ", ".join(f"{amount:g} {name}s" for name, amount in most.items())
            raise DeviceError(
                f"a cell needs {needs}, and no node of the Ray cluster has more than {has}: lower "
                "--gpus-per-cell or --threads"
            )

    def _fits(self, node: dict[str, float]) -> int:
        return min(int(node.get(name, 0) / amount) for name, amount in self._needs.items())

    @property
    def places(self) -> int:
        """Cells that the cluster's nodes have room for now, or ``--jobs``."""
        if self._options.jobs is not None:
            return self._options.jobs
        nodes = (node["Resources"] for node in self.ray.nodes() if node["Alive"])
        return max(1, sum(self._fits(node) for node in nodes))

    def start(self, key: str, job: TrainJob | CostJob, work: Path, inbox: Inbox) -> Remote:
        """See ``Launcher``."""
        return Remote(self, key, job, work, inbox)

    def host(self, order: Order, job: TrainJob | CostJob) -> Any:
        """An actor with what the cell needs."""
        needs = {"CPU": 1.0} if isinstance(job, CostJob) else self._needs
        actor = self.ray.remote(CellHost).options(
            num_cpus=needs["CPU"], num_gpus=needs.get("GPU", 0), max_concurrency=3
        )
        return actor.remote(order)


class Remote:
    """A cell on some node."""

    def __init__(
        self,
        cluster: Cluster,
        key: str,
        job: TrainJob | CostJob,
        folder: Path,
        inbox: Inbox,
    ) -> None:
        self.key = key
        self.log = folder / "log.txt"
        self.code: int | None = None
        self._cluster, self._job, self._inbox = cluster, job, inbox
        self._lock = Lock(folder / "lock")
        self._asked: How | None = None
        self.begun = False
        order = Order(
            key=key,
            job=_absolute(job, cluster.root).model_dump_json(),
            version=__version__,
            token=str(cluster.token),
            cwd=str(Path.cwd()),
            command=cluster.command,
        )
        self._host = cluster.host(order, job)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _known(self) -> Files:
        """What is here of a training that another cell finished or a stop interrupted."""
        if isinstance(self._job, CostJob):
            return {}
        paths = [self.log.parent / name for name in (*KEPT[:-1], CHECKPOINT)]
        return {
            str(path.relative_to(self._cluster.root)): path.read_bytes()
            for path in paths
            if path.is_file()
        }

    def _listen(self) -> None:
        """Start the process, pass on what it sends, and take what it leaves."""
        errors = self._cluster.ray.exceptions
        code = LOST
        try:
            code = self._follow()
        except (DetbenchError, errors.RayTaskError) as error:
            # Ray makes an error of the host's into one of both kinds.
            cause = getattr(error, "cause", error)
            mend = isinstance(cause, DetbenchError)
            code = exits.MEND if mend else exits.FAILED
            if mend:
                self._send(_told(cause))
            else:
                self._note(str(error))
        except errors.RayError as error:
            if self._asked is None:
                self._note(str(error))
        finally:
            self._lock.release()
            with suppress(Exception):  # it is gone, or the cluster is
                self._cluster.ray.kill(self._host)
            self.code = exits.STOPPED if code == LOST and self._asked else code
            self._inbox.put(Heard(self.key, None))

    def _follow(self) -> int:
        get, host = self._cluster.ray.get, self._host
        shared, problem = get(host.look.remote())
        if problem:
            raise DeviceError(problem)
        # A process there cannot hold a lock here.
        if not shared and not self._lock.acquire(exits.LOCK_PATIENCE_S):
            return exits.BUSY
        get(host.start.remote({} if shared else self._known()))
        self.begun = True
        if self._asked is not None:
            host.stop.remote(int(self._asked))
        code: int | None = None
        while code is None:
            events, code = get(host.hear.remote(HEAR_S))
            for event in events:
                self._send(event)
        if not shared:
            take(Store(self._cluster.root), self._job, get(host.files.remote()))
            get(host.forget.remote())
        return code

    def _send(self, event: dict[str, Any]) -> None:
        self._inbox.put(Heard(self.key, event))

    def _note(self, text: str) -> None:
        """Keep why a node was lost where the cell's own words are."""
        with suppress(OSError):
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with open(self.log, "a") as log:
                log.write(f"{exits.now()} Ray: {text}\n")

    def stop(self, how: How) -> None:
        """See ``Started``; a cell that waits for room is given up at once, and so is the node of
        one that is killed for the second time, as it does not answer.
        """
        if self.code is not None:
            return
        again, self._asked = self._asked == how == signal.SIGKILL, how
        with suppress(Exception):  # it is gone, or the cluster is
            if self.begun and not again:
                self._host.stop.remote(int(how))
            else:
                self._cluster.ray.kill(self._host)

    def wait(self, patience_s: float) -> None:
        """See ``Started``."""
        self._listener.join(patience_s)

    def close(self) -> None:
        """See ``Started``."""
        self._listener.join(5.0)


def take(store: Store, job: TrainJob | CostJob, files: Files) -> None:
    """Write a cell's files that came from another machine, its measurements last.

    Raises:
        StoreError: the folder cannot be written, or a path leads out of the cell's own places.
    """
    allowed = (Path("cells"), Path(work(job)))
    last = sorted(files, key=lambda name: (name.startswith("cells/"), name.endswith(".parquet")))
    for name in last:
        if Path(name).parent not in allowed:
            raise StoreError(f"a node sent a file for {name}, which is no place of its cell")
        write_atomic(store.root / name, files[name])


def _absolute(job: TrainJob | CostJob, root: Path) -> TrainJob | CostJob:
    update: dict[str, Any] = {"store": str(root.resolve())}
    if isinstance(job, TrainJob) and Path(job.data_root).exists():
        update["data_root"] = str(Path(job.data_root).resolve())
    return job.model_copy(update=update)


def _told(error: DetbenchError) -> dict[str, Any]:
    return {
        "phase": "error",
        "type": type(error).__name__,
        "message": str(error),
        "digest": None,
    }
