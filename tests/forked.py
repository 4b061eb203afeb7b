"""Processes of their own that need not import torch again: forked from a server that has."""

from __future__ import annotations

from multiprocessing import get_context

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["detbench.training.loop", "detbench.evaluation.run"])
