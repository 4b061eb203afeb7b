"""Modules of the two tasks, registered once where they are shared."""

from __future__ import annotations

from typing import Any

from torch import nn

from detbench.pertask import PerTask


class TaskModules(nn.Module):
    """A ``PerTask`` of modules: ``both``, or ``cls`` and ``loc``, in the state dict.

    Args:
        modules: shared if both tasks have the same object.
    """

    def __init__(self, modules: PerTask[nn.Module]) -> None:
        super().__init__()
        if modules.shared:
            self.both = modules.cls
        else:
            self.cls = modules.cls
            self.loc = modules.loc
        self.shared = modules.shared

    @property
    def tasks(self) -> PerTask[nn.Module]:
        if self.shared:
            return PerTask.both(self.both)
        return PerTask(self.cls, self.loc)


def modules_in(*rules: Any) -> nn.ModuleList:
    """The modules among assigners and losses, each once, for a detector to own.

    Those built in are no modules, without parameters or buffers. A user's own may be modules: they
    are then moved, trained, saved and restored as the rest.
    """
    return nn.ModuleList({id(rule): rule for rule in rules if isinstance(rule, nn.Module)}.values())
