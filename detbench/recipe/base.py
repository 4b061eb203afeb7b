"""The two bases of every recipe schema: a strict, frozen table and a per-task pair."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_serializer,
    model_validator,
)

from detbench.recipe.scaling import Scaling

DigestOf = Literal["training", "evaluation", "cost", "latency"]
"""What a digest stands for: weights, their evaluation, a count of operations, a time."""


@dataclass(frozen=True)
class Revision:
    """A mended fault that changes what the measurements of an option mean.

    It is part of the digests of the cells that it touches, so that these count as missing.

    Attributes:
        since: the day of the change, as ``2026-11-27``; an option's revisions are in its order.
        reason: what was wrong, as in "the first level was left out".
        touches: whether an option with these settings was; by default every one.
        measured: what was wrong: ``training`` (and so its evaluation), only the ``evaluation`` of
            the same weights, ``cost``.
    """

    since: str
    reason: str
    touches: Callable[[Any], bool] = lambda option: True
    measured: frozenset[DigestOf] = frozenset({"training"})


class Spec(BaseModel):
    """A table of a recipe: unknown keys are errors, values keep their type, nothing changes later.

    ``undigested`` names the fields that cannot change a result and so are no part of its identity;
    ``evaluated`` those that only evaluation reads, so that what is trained does not depend on them.
    ``scaling`` says what a light profile does with each field that holds numbers.

    Stored results outlive a release. ``added`` names the fields that a later one added, which are
    no part of a digest at their default; ``revisions`` are faults that were mended. A ``kind`` that
    is renamed keeps its old name last, as in ``Literal["new", "old"]``: that is hashed, and read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    undigested: ClassVar[frozenset[str]] = frozenset()
    evaluated: ClassVar[frozenset[str]] = frozenset()
    scaling: ClassVar[Scaling] = {}
    added: ClassVar[frozenset[str]] = frozenset()
    revisions: ClassVar[tuple[Revision, ...]] = ()
    measures: ClassVar[DigestOf] = "evaluation"

    @field_validator("kind", check_fields=False)
    @classmethod
    def _present_name(cls, value: str) -> str:
        return next(iter(get_args(cls.model_fields["kind"].annotation)), value)

    @classmethod
    def of_plain(cls, plain: Any) -> Self:
        """What ``model_dump(mode="json")`` made plain, as the store keeps it.

        Raises:
            ValidationError: it is none, or of another version of detbench.
        """
        return cls.model_validate_json(json.dumps(plain))

    @property
    def left_out(self) -> frozenset[str]:
        """The fields of this very table that are no part of its identity."""
        return self.undigested

    @property
    def trains_by_scores(self) -> bool:
        """Whether what is trained depends on its evaluation too."""
        return False


class Option(Spec):
    """A choice of what a stage, or a network, is made of.

    ``target`` is the import path of its module, which is called with its ``arguments`` and, as a
    ``Custom`` one, with what the stage tells, by keyword: see ``assembly.common.make``. ``beside``
    names the fields that are no arguments of the module, but of what stands around it.
    """

    target: ClassVar[str]
    beside: ClassVar[frozenset[str]] = frozenset()

    @property
    def arguments(self) -> dict[str, Any]:
        """Its settings by name; one that is none is left to the module."""
        left_out = self.beside | {"kind"}
        return {name: x for name, x in self if name not in left_out and x is not None}


class Custom(Spec):
    """A module of the user's own, by import path.

    ``target`` is called with ``arguments`` and, by keyword, what the stage tells every option; what
    it returns is used as follows. B images, N candidates, C classes, G objects, K regions. Every
    attribute that is named must be there.

    ==================  ==============================  ===========================================
    table of a recipe   called with                     what it makes
    ==================  ==============================  ===========================================
    backbone            nothing                         module: images (B, 3, H, W) of any size ->
                                                        [C2 .. C5], strides 4 to 32 (to C4 on a neck
                                                        of kind 'c4'); ``channels``, their widths
    neck                ``inputs``, widths of the maps  module: [maps] -> [P_first ..], ``levels``
                        from C_first; ``channels``,     many, each half the size; ``channels``,
                        ``levels``                      their width
    features.*          ``channels`` of the pyramid,    module: Pyramid -> [maps], one per level;
                        ``below_channels``              ``channels``; ``coarseness``, 1, or 2 where
                                                        maps have half their level's resolution
    heads.*             ``inputs``, width of the        module: (B, inputs, H, W) -> (B, channels,
                        features; ``deformable``,       H, W), used on every level; ``channels``.
                        positions, only if asked for    The prediction layer comes after it
    predictor           ``channels``, ``coarseness``,   module: (``PerTask`` of towers' [maps],
                        each ``PerTask``; ``classes``,  sizes (H, W) of the levels) -> Predictions:
                        ``dims`` of a box, ``per_cell`` ``cls``, ``loc`` and ``extras`` by name, of
                        candidates, ``levels``          C, dims and 1 channels for each candidate
    score               nothing                         module: (class probabilities (..., C) or
                                                        (K,), those of the extras by name) -> score
                                                        that ranks; ``select``, what the threshold
                                                        is on: "class" probability, or "score"
    assignment.*        nothing                         module: (Outputs, Targets, epoch) ->
                                                        Assignment: ``matched`` (B, N), maybe
                                                        ``weight``, ``target`` (B, N), ``pairs`` (B,
                                                        G, N). ``normaliser``, "images" or "batch"
                                                        (without one), where losses do not say
    supervision.cls     nothing                         module: (Outputs, Assigned of the task) ->
    and .loc                                            scalars by name, as {"cls": scalar}
    supervision.joint   nothing                         likewise, of ``PerTask`` of Assigned; stands
                                                        in place of both
    levels.*            ``levels``, how many            module: positives of each level in a batch
                                                        (``levels``,) -> factors, not negative, of
                                                        all losses there; a loss of one's own has
                                                        them in Assigned's weights, or ``levels``.
                                                        Auxiliary supervision has none
    ==================  ==============================  ===========================================

    An assigner's Outputs are detached; boxes and scores are computed when they are read. An array
    ``auxiliary`` has tables ``assignment`` and ``supervision`` like these. That is for dense
    detectors, of which sampling has no custom option. Those with proposals have the backbone in
    common, and these, in a sibling's and each round's tables too:

    ==================  ==============================  ===========================================
    table of a recipe   called with                     what it makes
    ==================  ==============================  ===========================================
    features.*          ``channels``, widths of the     module: (backbone maps, pyramid levels) ->
                        backbone's maps                 levels, of the pyramid's shapes
    sampling.*          ``channels`` of the levels      module: (RoiPyramid, rois (K, 5), embedding)
                                                        -> Pooled, (K, channels, size, size) and the
                                                        boxes that deltas are relative to, (K, 4);
                                                        ``size``. With ``shifts = True`` and
                                                        ``hidden``, embedding is (K, hidden), from
                                                        a layer that both tasks share; else unused
    assignment.*        nothing                         ``nms``, ``train_count``, ``test_count``;
                                                        ``sampler``, with ``sample(boxes (B, P, 4),
                                                        valid (B, P), targets) -> Rois`` and, where
                                                        there are rounds, ``at(positive) ->
                                                        sampler``, of a round with that threshold.
                                                        It may have ``images``, and its sampler
                                                        ``only_positive``, as those built in
    heads.*             ``inputs``, ``size``            module: (K, inputs, size, size) -> (K,
                                                        channels); ``channels``
    ==================  ==============================  ===========================================

    ``Pyramid`` is in ``detbench.stages.features``, ``Outputs`` in ``detbench.stages.outputs``,
    ``Assignment`` and ``Assigned`` in ``detbench.stages.assignment``, ``Predictions`` in
    ``detbench.stages.predictor``, ``PerTask`` in ``detbench.pertask``, ``RoiPyramid`` and
    ``Pooled`` in ``detbench.stages.sampling``, ``Rois`` in
    ``detbench.stages.assignment.proposals``, ``Targets`` in ``detbench.structures``; shapes are in
    their docstrings. Padding in ``Targets`` is not ``valid``; G, K and P may be 0. One ``both`` is
    one object for both tasks. Every module is the detector's, and so is a sampler that is one: what
    it has is trained, moved, kept and resumed.

    Each is tried on a tiny input when it is built, in evaluation mode: state that training
    accumulates is a buffer, and changes in training mode only.

    Attributes:
        target: ``package.module:Class``, importable from the current folder or ``PYTHONPATH``.
        arguments: passed on as keywords; anything TOML can say.
        version: of your code, which then stands for it: raise it when what comes out changes.
        source: without a version, sha256 of the module's source and its local imports
            (``recipe.source``), known when a cell is planned; in a recipe it asks for just these.
    """

    kind: Literal["custom"]
    target: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    arguments: dict[str, Any] = {}
    version: Annotated[int, Field(lt=2**31)] | None = None
    source: str | None = None


T = TypeVar("T")
Task = Literal["cls", "loc"]


class PerTaskSpec(Spec, Generic[T]):
    """``both`` (one object, shared parameters) or ``cls`` and ``loc`` (two, even if equal)."""

    both: T | None = None
    cls: T | None = None
    loc: T | None = None

    @model_validator(mode="after")
    def _one_or_two(self) -> Self:
        given = {task for task in ("both", "cls", "loc") if getattr(self, task) is not None}
        if given not in ({"both"}, {"cls", "loc"}):
            raise ValueError("give either 'both', or 'cls' and 'loc'")
        return self

    @model_serializer(mode="wrap")
    def _drop_absent(self, handler: Any) -> dict[str, Any]:
        return {task: value for task, value in handler(self).items() if value is not None}

    @property
    def shared(self) -> bool:
        return self.both is not None

    def of(self, task: Task) -> T:
        """The setting that ``task`` uses."""
        value = self.both if self.both is not None else getattr(self, task)
        assert value is not None
        return value
