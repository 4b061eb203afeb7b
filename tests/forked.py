"""Processes of their own that need not import torch again: forked from a server that has."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

import pytest

LOADED = ("detbench.training.loop", "detbench.evaluation.run", "detbench.runner.compute")
FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(list(LOADED[:2]))

SUBREAPER = 36
"""``prctl``'s PR_SET_CHILD_SUBREAPER: descendants without a parent become one's own children."""

SERVER = """
import atexit, contextlib, gc, importlib, json, os, runpy, signal, socket, sys, threading, traceback

sys.dont_write_bytecode = True
for name in sys.argv[2:]:
    importlib.import_module(name)
gc.freeze()
us = socket.socket(fileno=int(sys.argv[1]))
job = None
while job is None:
    text, files, _, _ = socket.recv_fds(us, 1 << 20, 3)
    if not text:
        os._exit(0)
    told, tell = os.pipe()
    if middle := os.fork():
        os.close(tell)
        os.waitpid(middle, 0)
        us.send(os.read(told, 20))
        for file in (*files, told):
            os.close(file)
    elif child := os.fork():
        os.write(tell, str(child).encode())
        os._exit(0)
    else:
        job = json.loads(text)
        for number, file in enumerate(files):
            os.dup2(file, number)
        for file in (*files, told, tell, us.detach()):
            os.close(file)
if job["session"]:
    os.setsid()
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.clear()
os.environ.update(job["environment"])
os.chdir(job["folder"])
paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
sys.path[:0] = [path for path in paths if path and path not in sys.path]
with contextlib.suppress(ImportError):
    import sitecustomize
sys.dont_write_bytecode = False
name, *sys.argv[1:] = job["words"]
code = 0
try:
    if name.endswith(".py"):
        runpy.run_path(name, run_name="__main__")
    else:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
except SystemExit as ended:
    code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    if isinstance(ended.code, str):
        print(ended.code, file=sys.stderr)
except BaseException:
    code = 1
    traceback.print_exc()
# To tear down torch takes longer than most of what is run.
threading._shutdown()
atexit._run_exitfuncs()
for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
os._exit(code)
"""


class Server:
    """Forks processes in Python, as children of this process."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            number = theirs.fileno()
            command = [sys.executable, "-P", "-c", SERVER, str(number), *LOADED]
            self._process = subprocess.Popen(command, pass_fds=[number])

    def start(self, job: dict[str, Any], files: list[int]) -> int:
        """Process id of what is started with these as stdin, stdout and stderr."""
        socket.send_fds(self._socket, [json.dumps(job).encode()], files)
        return int(self._socket.recv(20))

    def close(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()


def _words(args: Any) -> list[str]:
    """A module's name, or a script's, and its arguments; none of what is started otherwise."""
    words = [args] if isinstance(args, str) else [str(word) for word in args]
    if words[:3] == [sys.executable, "-P", "-m"]:
        return words[3:]
    script = words[:1] == [sys.executable] and words[1].endswith(".py")
    return words[1:] if script else []


@contextmanager
def modules_forked(server: Server) -> Iterator[None]:
    """What ``children.command`` starts is forked, and scripts are, by whatever of ``subprocess``;
    all else of it is as it is: pipes, sessions, signals, environment and ``sitecustomize``.
    ``psutil`` sees the server's command line.
    """
    plain = subprocess.Popen

    class Popen(plain):  # type: ignore[type-arg,misc,valid-type]
        def __init__(self, args: Any, *more: Any, **how: Any) -> None:
            self._how = how
            super().__init__(args, *more, **how)

        def _execute_child(self, args: Any, *more: Any) -> None:
            words, pipes = _words(args), more[9:15]
            if not words:
                super()._execute_child(args, *more)  # type: ignore[misc]
                return
            job = {
                "words": words,
                "environment": dict(self._how.get("env") or os.environ),
                "folder": str(self._how.get("cwd") or os.getcwd()),
                "session": bool(self._how.get("start_new_session")),
            }
            theirs = (pipes[0], pipes[3], pipes[5])
            files = [number if file == -1 else file for number, file in enumerate(theirs)]
            self.pid = server.start(job, files)
            self._child_created = True
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    prctl = ctypes.CDLL(None).prctl
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", Popen)
        assert prctl(SUBREAPER, 1, 0, 0, 0) == 0
        yield
        prctl(SUBREAPER, 0, 0, 0, 0)
