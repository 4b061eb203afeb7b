"""A user's own modules in detectors with proposals: trained, evaluated, counted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from assembly import mistakes

from detbench.assembly import build_detector, contract
from detbench.errors import RecipeError
from detbench.evaluation.run import score
from detbench.measure import flops
from detbench.recipe import resolve
from detbench.recipe.base import Custom, PerTaskSpec, Spec
from detbench.recipe.detector import Dense, Roi
from detbench.recipe.experiment import Cell
from detbench.training import loop
from detbench.training.host import Host

HERE = Path(__file__).parent
SMALL = (
    "data.train=8",
    "data.val=3",
    "data.size=64",
    "training.iterations=2",
    "training.batch=2",
    "training.input.short=64",
    "training.input.long=64",
)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(HERE)])


def own(name: str, arguments: str = "{}", module: str = "own_roi_parts") -> str:
    return f'{{ kind = "custom", target = "{module}:{name}", arguments = {arguments} }}'


def cell(detector: str, *changes: str) -> Cell:
    found = resolve.cell(detector, "smoke", 0, (*SMALL, *changes)).cell
    assert found is not None
    return found


ALIGN = '{ kind = "roi-align", size = 4 }'
FC = '{ kind = "fc", depth = 1, channels = 16 }'
SIBLING = "sibling={{ sampling = {{ {} }}, heads = {{ {} }} }}"
ROUND = 'rounds=[{{ tasks = "{}", positive = 0.4, sampling = {{ {} }}, heads = {{ {} }} }}]'
PLACES: dict[str, tuple[str, ...]] = {
    "backbone": ("faster-rcnn-r50", f"backbone={own('Backbone', module='own_parts')}"),
    "backbone to C4": (
        "faster-rcnn-r50-c4",
        f"backbone={own('ToC4')}",
        f"heads={{ both = {FC} }}",
    ),
    "features": ("faster-rcnn-r50", f"features={{ both = {own('Features')} }}"),
    "features of a task": (
        "faster-rcnn-r50",
        f"features={{ cls = {own('Features')}, loc = {{ kind = 'level' }} }}",
        f"heads={{ cls = {FC}, loc = {FC} }}",
    ),
    "sampling": ("faster-rcnn-r50", f"sampling={{ both = {own('Centre')} }}"),
    "sampling that two heads share": (
        "faster-rcnn-r50",
        f"sampling={{ both = {own('Centre')} }}",
        f"heads={{ cls = {FC}, loc = {own('Head')} }}",
    ),
    "sampling of a task": (
        "faster-rcnn-r50",
        f"sampling={{ cls = {own('Centre')}, loc = {ALIGN} }}",
        f"heads={{ cls = {FC}, loc = {FC} }}",
    ),
    "sampling that shifts": ("faster-rcnn-r50", f"sampling={{ both = {own('Drifting')} }}"),
    "sampling that shifts beside TSD's": (
        "tsd-r50",
        f"sampling.loc={own('Drifting', '{ size = 3, hidden = 64 }')}",
    ),
    "assignment": ("faster-rcnn-r50", f"assignment={{ both = {own('Proposals')} }}"),
    "assignment of rounds": (
        "decoupled-rcnn-r50",
        f"assignment.cls={own('Proposals')}",
        f"assignment.loc={own('Proposals', '{ threshold = 0.2 }')}",
    ),
    "heads": ("faster-rcnn-r50", f"heads={{ both = {own('Head')} }}"),
    "sibling": (
        "faster-rcnn-r50",
        SIBLING.format(f"both = {own('Centre')}", f"both = {own('Head')}"),
    ),
    "rounds that refine": (
        "faster-rcnn-r50",
        ROUND.format("loc", f"both = {own('Centre')}", f"both = {own('Head')}"),
    ),
    "siblings of rounds": (
        "faster-rcnn-r50",
        'rounds=[{ tasks = "both", positive = 0.4, heads = { both = '
        f"{FC} }}, "
        + SIBLING.format(f"both = {own('Centre')}", f"both = {own('Head')}").replace("=", " = ", 1)
        + " }]",
    ),
    "rounds that classify": (
        "faster-rcnn-r50",
        ROUND.format("both", f"both = {own('Centre')}", f"cls = {own('Head')}, loc = {FC}"),
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_own_modules_train_evaluate_and_are_counted(tmp_path: Path, place: str) -> None:
    made = cell(*PLACES[place])
    told: list[Any] = []
    detector = loop.train(made, tmp_path, Host(tmp_path, CPU, told.append))
    assert told[-1].iteration == 2
    assert score(detector, made, Host(tmp_path, CPU, lambda _: None)).images == 3
    with torch.device("meta"):
        counted = flops.count(build_detector(made.detector, 80), (64, 64), "mmdet")
    assert counted.gflops > 0
    named = {id(p) for part in detector.parts().values() for p in part.parameters()}
    assert named == {id(p) for p in detector.parameters()}  # --by-part leaves none out


def customs(schema: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Paths of a schema's tables that may be ``custom``."""
    if isinstance(schema, type) and issubclass(schema, Spec):
        if issubclass(schema, Custom):
            return {path}
        fields = schema.model_fields.items()
        keep = issubclass(schema, PerTaskSpec)
        return {
            found
            for name, field in fields
            for found in customs(field.annotation, path if keep else (*path, name))
        }
    return {found for one in get_args(schema) for found in customs(one, path)}


def test_every_place_of_a_custom_module_is_tried() -> None:
    """A new place must come here, or into ``test_custom.py``, with the least its contract asks."""
    dense = ("assignment", "backbone", "features", "heads", "levels", "neck", "predictor", "score")
    losses = ("cls", "loc", "joint")
    assert customs(Dense) == {
        *((name,) for name in dense),
        *(("supervision", name) for name in losses),
        ("auxiliary", "assignment"),
        *(("auxiliary", "supervision", name) for name in losses),
    }
    assert customs(Roi) == {
        *((name,) for name in ("assignment", "backbone", "features", "heads", "sampling")),
        *((table, name) for table in ("rounds", "sibling") for name in ("heads", "sampling")),
        *(("rounds", "sibling", name) for name in ("heads", "sampling")),
    }


def test_a_trial_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn after it is as if there were none, and modules are in training mode."""
    changed = f"sampling={{ both = {own('Noisy', module='own_roi_mistakes')} }}"
    made = cell("faster-rcnn-r50", changed)
    torch.manual_seed(3)
    tried = build_detector(made.detector, 3)
    assert all(module.training for module in tried.modules())
    monkeypatch.setattr(contract, "sampling", lambda *arguments, **named: None)
    torch.manual_seed(3)
    untried = build_detector(made.detector, 3)
    assert float(tried.main.sampling.both.norm.running_mean.abs().sum()) == 0
    for one, other in zip(tried.parameters(), untried.parameters(), strict=True):
        assert torch.equal(one, other)


def broken(body: str, forward: str) -> str:
    return "\n".join(
        (
            "import torch",
            "from torch import nn",
            "from detbench.stages.sampling import Pooled",
            "class Mine(nn.Module):",
            "    def __init__(self, **given):",
            "        super().__init__()",
            *(f"        {line}" for line in body.split("; ")),
            f"    {forward}",
        )
    )


SAMPLING, HEADS, FEATURES = "sampling", "heads", "features"
POOL = "def forward(self, pyramid, rois, embedding): return "
WRONG = [
    (SAMPLING, "pass", POOL + "None", "no attribute 'size', which this stage reads"),
    (SAMPLING, "self.size = 0", POOL + "None", "'size' is 0 and must be a whole number above 0"),
    (SAMPLING, "self.size = 3", POOL + "None", "gives a NoneType for 2 regions, and not Pooled"),
    (
        SAMPLING,
        "self.size = 3",
        POOL + "Pooled(pyramid.align(rois, 4), rois[:, 1:])",
        "(2, 64, 4, 4), (2, 4) for 2 regions, where (2, 64, 3, 3), (2, 4) is wanted",
    ),
    (
        SAMPLING,
        "self.size = 3",
        "def forward(self, pyramid, rois): return None",
        "called as forward(pyramid, rois, embedding): too many positional arguments",
    ),
    (SAMPLING, "self.size = 3; self.shifts = True", POOL + "None", "'hidden' is None"),
    (HEADS, "pass", "def forward(self, x): return x", "no attribute 'channels'"),
    (HEADS, "self.channels = 5", "def forward(self, x): return x", "where (2, 5) is wanted"),
    (FEATURES, "pass", "def forward(self, a, b): return a", "is wanted: see help("),
    (FEATURES, "pass", "def forward(self, a, b): return 1", "and not a list of tensors"),
]


@pytest.mark.parametrize(("table", "body", "forward", "said"), WRONG)
def test_what_breaks_the_contract_is_one_line_when_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, body: str, forward: str, said: str
) -> None:
    name = mistakes.module(tmp_path, monkeypatch, broken(body, forward))
    changed = f"{table}={{ both = {own('Mine', module=name)} }}"
    mistakes.assert_refused(cell("faster-rcnn-r50", changed), name, said)


@pytest.mark.parametrize(
    ("table", "kind", "said"),
    [
        ("assignment", "nms=2.0, train_count=1, test_count=1, sampler=1", "'nms' is 2.0"),
        (
            "assignment",
            "nms=0.5, train_count=1, test_count=True, sampler=1",
            "'test_count' is True",
        ),
        ("assignment", "nms=0.5, train_count=1, test_count=1, sampler=1", "no sampler.sample("),
        ("assignment", "nms=0.5, train_count=1, test_count=1", "no attribute 'sampler'"),
    ],
)
def test_an_assignment_of_another_shape(table: str, kind: str, said: str) -> None:
    arguments = "{ " + kind.replace("True", "true") + " }"
    changed = f"{table}={{ both = {own('Plain', arguments, 'own_roi_mistakes')} }}"
    with pytest.raises(RecipeError) as caught:
        build_detector(cell("faster-rcnn-r50", changed).detector, 3)
    assert said in caught.value.mistakes[0]


def test_rounds_ask_a_sampler_for_theirs() -> None:
    changed = f"assignment={{ both = {own('Fixed', module='own_roi_mistakes')} }}"
    assert build_detector(cell("faster-rcnn-r50", changed).detector, 3) is not None
    with pytest.raises(RecipeError, match=r"no sampler.at\(positive\)"):
        build_detector(cell("cascade-rcnn-r50", changed).detector, 3)


def test_what_a_round_is_given_is_a_sampler_too() -> None:
    changed = f"assignment={{ both = {own('Lost', module='own_roi_mistakes')} }}"
    with pytest.raises(RecipeError, match=r"no sampler.at\(positive\).sample\(boxes"):
        build_detector(cell("cascade-rcnn-r50", changed).detector, 3)


def test_a_shared_head_reads_regions_of_one_size() -> None:
    changed = f"sampling={{ cls = {own('Centre')}, loc = {ALIGN} }}"
    with pytest.raises(RecipeError, match=r"sampling.cls gives 3 and sampling.loc 4"):
        build_detector(cell("faster-rcnn-r50", changed).detector, 3)


def test_stages_of_ones_own_backbone_are_not_copied() -> None:
    changes = (
        f"backbone={own('Backbone', module='own_parts')}",
        "features={ both = { kind = 'own', stride = 16 } }",
    )
    with pytest.raises(RecipeError, match="copies stages of a backbone of kind 'resnet'"):
        build_detector(cell("faster-rcnn-r50", *changes).detector, 3)
