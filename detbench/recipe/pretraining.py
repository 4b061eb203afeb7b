"""Which backbones a profile's embedded weights are needed for, and what makes them. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from detbench import __version__
from detbench.errors import RecipeError
from detbench.recipe import digest, load, resolve
from detbench.recipe.detector import Dense
from detbench.recipe.embedded import BOTTLENECK, identity
from detbench.recipe.experiment import Cell, Evaluation
from detbench.recipe.light import BLOCKS, lighten
from detbench.recipe.model import Pixels, ResNet
from detbench.recipe.override import split
from detbench.recipe.table import Pretraining, Profile


@dataclass(frozen=True)
class Wanted:
    """The embedded weights of one backbone.

    Attributes:
        id: of the backbone, as ``embedded.identity`` has it.
        cell: trains and evaluates the detector whose backbone they are.
        users: rows that start from them, by table.
    """

    id: str
    cell: Cell
    users: dict[str, tuple[str, ...]]

    @property
    def digest(self) -> str:
        """Of the training that makes them."""
        return digest.training(self.cell)

    @property
    def rows(self) -> str:
        """Who starts from them, in words."""
        count = sum(len(labels) for labels in self.users.values())
        return f"{count} row{'s' if count > 1 else ''} of {', '.join(self.users)}"

    def provenance(self, profile: Profile, ap: float | None) -> dict[str, object]:
        """What the file says of itself.

        Args:
            ap: of the detector on its val split, in [0, 1].
        """
        cell = self.cell.model_dump(mode="json", exclude_none=True)
        return {
            "backbone": self.id,
            "detbench": __version__,
            "profile": profile.id,
            "digest": self.digest,
            "ap": ap,
            **{key: cell[key] for key in ("detector", "data", "training", "seed")},
        }


def wanted(
    profile: Profile, tables: Sequence[str] = (), overrides: Sequence[str] = ()
) -> list[Wanted]:
    """The backbones of the runnable rows of ``tables`` under a profile, each once.

    Args:
        tables: ids or files; none is the whole catalogue.
        overrides: ``key.path=value`` as from ``--set``, which rows will be run with.

    Raises:
        RecipeError: the profile does not say how weights are made, mistakes in the names, or an
            override that changes nothing of a backbone.
    """
    pretraining = profile.pretraining
    if pretraining is None:
        raise RecipeError(
            f"profile {profile.id} has no table 'pretraining', which says what embedded weights "
            "are made by; smoke has one"
        )
    if mistakes := [
        f"--set '{one}': does nothing here: weights depend on 'backbone' and 'pixels' alone, and "
        f"how they are trained is in the table 'pretraining' of profile {profile.id}"
        for one in overrides
        if not {"backbone", "pixels"} & set(split(one)[0][:2])
    ]:
        raise RecipeError(mistakes)
    users: dict[str, dict[str, list[str]]] = {}
    networks: dict[str, tuple[ResNet, Pixels]] = {}
    for table in tables or load.tables():
        for row in resolve.cells(table, profile, overrides=overrides):
            if row.cell is None or not isinstance(row.cell.detector.backbone, ResNet):
                continue
            network = (row.cell.detector.backbone, row.cell.detector.pixels)
            own = identity(*network)
            networks.setdefault(own, network)
            users.setdefault(own, {}).setdefault(table, []).append(row.row.label)
    return [
        Wanted(
            own,
            cell(profile, pretraining, *networks[own]),
            {table: tuple(labels) for table, labels in users[own].items()},
        )
        for own in networks
    ]


def cell(profile: Profile, pretraining: Pretraining, backbone: ResNet, pixels: Pixels) -> Cell:
    """What trains a backbone's embedded weights.

    The backbone is that of all rows that share them: whichever of them is given, the cell is the
    same. All of it is trained, and its convolutions are plain, as in ImageNet's networks.

    Raises:
        RecipeError: the detector has proposals.
    """
    detector = load.detector(pretraining.detector).detector
    if not isinstance(detector, Dense):
        raise RecipeError(
            f"profile {profile.id}: pretraining.detector: '{pretraining.detector}' is not a dense "
            "detector; fcos-r50 is one"
        )
    if profile.light is not None:
        detector = lighten(detector, profile.light)
    plain = backbone.model_copy(
        update={
            "depth": 18 if backbone.depth < BOTTLENECK else BOTTLENECK,
            "blocks": backbone.blocks or BLOCKS[backbone.depth],
            "norm": "batch",
            "frozen_stages": -1,
            "deformable": "none",
            "deformable_stages": ResNet.model_fields["deformable_stages"].default,
            "weights": None,
        }
    )
    return Cell(
        detector=detector.model_copy(update={"backbone": plain, "pixels": pixels}),
        data=pretraining.data,
        training=pretraining.training,
        evaluation=profile.evaluation or Evaluation(),
        seed=pretraining.seed,
    )
