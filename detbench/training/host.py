"""Where a cell is computed, and who hears of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from detbench.data.loading import Processes
from detbench.progress import Report
from detbench.training.distributed import ALONE, Team


@dataclass(frozen=True)
class Host:
    """Where a cell is computed; it changes the last digits of results, and nothing else.

    Attributes:
        data_root: folder of the data sets.
        device: of the network.
        report: called about once a second, or after each batch. An exception it raises stops the
            training at that iteration, checkpointed.
        team: the processes that share the work. The first alone keeps files and gets results.
    """

    data_root: Path
    device: torch.device
    report: Report
    team: Team = ALONE

    @property
    def loading(self) -> Processes:
        """Who loads which batches, and for which device."""
        return replace(self.team.processes, device=self.device)
