"""Code that must import nothing slow: each run is a process forked from one without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

SLOW = frozenset({"torch", "torchvision", "pandas", "matplotlib", "pycocotools"})
COMMAND = "from detbench.cli.main import main; main()"
LOADED = ("detbench.cli.main", "detbench.runner.plan", "detbench.report.ablation")

SERVER = """
import atexit, importlib, json, os, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
code = ""
for line in sys.stdin:
    if os.fork():
        print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
        continue
    job = json.loads(line)
    for number, path in enumerate((os.devnull, "stdout", "stderr")):
        file = os.open(os.path.join(job["said"], path), os.O_RDWR | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["folder"])
    sys.argv[1:] = job["words"]
    modules = os.open(os.path.join(job["said"], "modules"), os.O_WRONLY | os.O_CREAT)
    atexit.register(lambda: os.write(modules, " ".join(sys.modules).encode()))
    code = job["code"]
    break
exec(code, {"__name__": "__main__"})
"""


@dataclass(frozen=True)
class Done:
    """How a process ended.

    Attributes:
        modules: what it had imported in the end.
    """

    returncode: int
    stdout: str
    stderr: str
    modules: frozenset[str]

    @property
    def slow(self) -> frozenset[str]:
        """What it should not have imported."""
        return self.modules & SLOW


class NoTorch:
    """Runs code in processes that begin without anything slow, but with what every command needs.

    To start Python for each takes longer than what most of them do.
    """

    def __init__(self) -> None:
        command = [sys.executable, "-c", SERVER, *LOADED]
        pipe = subprocess.PIPE
        self._server = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def run(self, code: str, *words: str, folder: Path) -> Done:
        """What ``python -c CODE WORDS`` does in a folder, with the environment of now."""
        asked, answers = self._server.stdin, self._server.stdout
        assert asked is not None
        assert answers is not None
        with tempfile.TemporaryDirectory() as said:
            job = {"code": code, "words": words, "folder": str(folder), "said": said}
            print(json.dumps({**job, "environment": dict(os.environ)}), file=asked, flush=True)
            ended = int(answers.readline())
            names = ("stdout", "stderr", "modules")
            stdout, stderr, modules = ((Path(said) / name).read_text() for name in names)
        return Done(ended, stdout, stderr, frozenset(modules.split()))

    def detbench(self, *words: str, folder: Path) -> Done:
        """What a command does in a folder."""
        return self.run(COMMAND, *words, folder=folder)

    def close(self) -> None:
        """End the server; its end is not waited for, should something else hold its input open."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._server.stdout.close()
