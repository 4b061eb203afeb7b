"""A user's own modules, in every place of a recipe: trained, evaluated, counted; and mistakes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from assembly import mistakes

from detbench.assembly import build_detector
from detbench.errors import RecipeError
from detbench.evaluation.run import score
from detbench.measure import flops
from detbench.progress import Progress
from detbench.recipe import resolve
from detbench.recipe.digest import digest
from detbench.recipe.experiment import Cell
from detbench.training import checkpoint, loop
from detbench.training.host import Host

HERE = Path(__file__).parent
SMALL = (
    "data.train=8",
    "data.val=3",
    "data.size=64",
    "training.iterations=5",
    "training.batch=2",
    "training.input.short=64",
    "training.input.long=64",
    "training.optimizer.lr=1e-3",
)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(HERE)])


def own(name: str, arguments: str = "{}", more: str = "") -> str:
    return f'{{ kind = "custom", target = "own_parts:{name}", arguments = {arguments}{more} }}'


def cell(*changes: str) -> Cell:
    found = resolve.cell("fcos-r50", "smoke", 0, (*SMALL, *changes)).cell
    assert found is not None
    return found


AUXILIARY = "auxiliary=[{ assignment = { both = %s }, supervision = { %s } }]"
PLACES = {
    "backbone": f"backbone={own('Backbone', '{ width = 12 }')}",
    "neck": f"neck={own('Neck', more=', channels = 16, levels = 5')}",
    "features": f"features={{ cls = {own('Features')}, loc = {{ kind = 'level' }} }}",
    "head": f"heads={{ both = {own('Head', '{ width = 12 }')} }}",
    "assignment": f"assignment={{ both = {own('Nearest', '{ radius = 1.5 }')} }}",
    "cls loss": f"supervision.cls={own('CrossEntropy')}",
    "loc loss": f"supervision.loc={own('Distance')}",
    "predictor": f"predictor={own('Predictor')}",
    "score": f"score={own('Mean')}",
    "levels": f"levels={{ both = {own('Even')} }}",
    "auxiliary": AUXILIARY % (own("Nearest"), f"cls = {own('CrossEntropy')}"),
}


@pytest.mark.parametrize("place", PLACES)
def test_own_modules_train_evaluate_and_are_counted(tmp_path: Path, place: str) -> None:
    made = cell(PLACES[place])
    told = []
    detector = loop.train(made, tmp_path, Host(tmp_path, CPU, told.append))
    assert told[-1].iteration == 5
    assert score(detector, made, Host(tmp_path, CPU, lambda _: None)).images == 3
    with torch.device("meta"):
        counted = flops.count(build_detector(made.detector, 80), (64, 64), "mmdet")
    assert counted.gflops > 0


def test_all_of_them_at_once() -> None:
    detector = build_detector(cell(*PLACES.values()).detector, 3)
    names = {type(module).__name__ for module in detector.modules()}
    assert {"Backbone", "Neck", "Features", "Head", "Predictor", "Mean"} <= names
    assert type(detector.supervisions[0].assigners.both).__name__ == "Nearest"


def test_a_version_of_the_code_makes_another_cell() -> None:
    first = cell(PLACES["head"])
    second = cell(f"heads={{ both = {own('Head', '{ width = 12 }', ', version = 2')} }}")
    assert digest(first) != digest(second)
    assert build_detector(second.detector, 3) is not None


@pytest.mark.parametrize(
    ("target", "arguments", "said"),
    [
        ("nowhere.to:Be", "{}", "No module named 'nowhere'; run in its folder, or put that on"),
        ("own_parts:Haed", "{}", "no 'Haed' in own_parts, did you mean 'Head'?"),
        ("broken_parts:Head", "{}", "No module named 'not_installed'"),
        ("own_parts:Head", "{ depth = 2 }", "unexpected keyword argument 'depth'; it is called"),
        ("own_parts:Head", "{ inputs = 2 }", "arguments: inputs is given by the stage; drop it"),
        ("own_parts:Features", "{}", "argument: 'channels'; it is called with inputs"),
        ("own_parts:WithoutChannels", "{}", "no attribute 'channels', which this stage reads"),
        ("subprocess:getoutput", "{}", "subprocess is Python's own: name a class or a function"),
        ("os.path:join", "{}", "os.path is Python's own: name a class or a function of a module"),
        ("broken_calls:getoutput", "{}", "is none that may be called: name a class or a function"),
        ("torch:load", "{}", "is none that may be called: name a class or a function"),
        ("numpy:load", "{}", "is none that may be called: name a class or a function"),
        ("broken_calls:bound", "{}", "is none that may be called: name a class or a function"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, arguments: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken_parts.py").write_text("import not_installed\n")
    (tmp_path / "broken_calls.py").write_text("from subprocess import getoutput\nbound = {}.get\n")
    changed = (
        f'heads={{ both = {{ kind = "custom", target = "{target}", arguments = {arguments} }} }}'
    )
    with pytest.raises(RecipeError) as caught:
        build_detector(cell(changed).detector, 3)
    [line] = caught.value.mistakes
    assert line.startswith(f"target '{target}': ")
    assert said in line
    assert target == "nowhere.to:Be" or "PYTHONPATH" not in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "import sys\n\nsys.exit('no GPU here')\n",
            ":3: ends Python (SystemExit: no GPU here) when",
        ),
        ("raise SystemExit\n", ":1: ends Python (SystemExit: ) when it is imported: mend it there"),
        (
            "import argparse\nargparse.ArgumentParser().parse_args(['--what'])\nHead = 1\n",
            ":2: ends Python (SystemExit: 2) when it is imported: mend it there",
        ),
        (
            "import sys\n\ndef Head(inputs):\n    sys.exit(3)\n",
            ":4: ends Python (SystemExit: 3) when it is made: mend it there",
        ),
        (
            "from own_parts import Head as Other\n\nclass Head(Other):\n"
            "    def forward(self, maps):\n        raise SystemExit(1)\n",
            ":5: ends Python (SystemExit: 1) when it is tried on a map of 64 x 4 x 4, as it is",
        ),
    ],
)
def test_what_ends_python_is_one_line_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "that_leaves", raising=False)
    (tmp_path / "that_leaves.py").write_text(text)
    changed = 'heads={ both = { kind = "custom", target = "that_leaves:Head" } }'
    with pytest.raises(RecipeError) as caught:
        build_detector(cell(changed).detector, 3)
    [line] = caught.value.mistakes
    assert line.startswith(f"target 'that_leaves:Head': {tmp_path / 'that_leaves.py'}:")
    assert said in line


def test_a_bug_of_ones_own_keeps_its_traceback() -> None:
    with pytest.raises(TypeError, match="has no len"):
        build_detector(cell(f"heads={{ both = {own('Faulty')} }}").detector, 3)


def test_a_module_of_the_current_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lying_here.py").write_text("from own_parts import Head\n")
    changed = 'heads={ both = { kind = "custom", target = "lying_here:Head" } }'
    assert build_detector(cell(changed).detector, 3) is not None


def test_a_network_of_a_library_is_a_target() -> None:
    changed = 'heads={ both = { kind = "custom", target = "torch.nn:Identity" } }'
    with pytest.raises(RecipeError, match="no attribute 'channels', which this stage reads"):
        build_detector(cell(changed).detector, 3)  # it is made, and then asked for its width


def test_rules_that_are_modules_are_trained_and_kept(tmp_path: Path) -> None:
    """An assigner's buffer and a loss's parameter: trained, in the checkpoint, and resumed."""
    made = cell(f"assignment={{ both = {own('Counting')} }}", f"supervision.cls={own('Learnt')}")
    detector = loop.train(made, tmp_path, Host(tmp_path, CPU, lambda _: None))
    saved = checkpoint.load(tmp_path / loop.CHECKPOINT)["detector"]
    [seen] = [value for name, value in saved.items() if name.endswith(".seen")]
    [weight] = [value for name, value in saved.items() if name.endswith(".log_variance")]
    assert float(seen) == 5
    assert float(weight) != 0
    again = build_detector(made.detector, 12)
    again.load_state_dict(detector.state_dict())
    assigners = again.supervisions[0].assigners.tasks
    assert float(assigners.cls.seen) == 5
    assert assigners.cls is assigners.loc


LEARNT = (
    f"assignment={{ both = {own('LearntPrior')} }}",
    "training.iterations=6",
    "inference.score_threshold=0.0",
)
JOINTLY = (*LEARNT, f"supervision={{ joint = {own('Joint')} }}")
BESIDE = (
    f"auxiliary=[{{ assignment = {{ both = {own('LearntPrior')} }}, "
    'supervision = { cls = { kind = "focal" } } }]',
    "training.iterations=6",
)


class Stop(BaseException):
    pass


@pytest.mark.parametrize("changes", [LEARNT, JOINTLY, BESIDE], ids=["pair", "joint", "auxiliary"])
def test_a_learnt_assigner_is_trained_and_a_stopped_run_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: tuple[str, ...]
) -> None:
    monkeypatch.setattr(loop, "READ_EVERY_S", 0.0)
    made, straight, stopped = cell(*changes), tmp_path / "straight", tmp_path / "stopped"

    def stop(progress: Progress) -> None:
        if progress.iteration == 3:
            raise Stop

    loop.train(made, straight, Host(straight, CPU, lambda _: None))
    with pytest.raises(Stop):
        loop.train(made, stopped, Host(stopped, CPU, stop))
    half = checkpoint.load(stopped / loop.CHECKPOINT)
    detector = loop.train(made, stopped, Host(stopped, CPU, lambda _: None))
    states = [checkpoint.load(work / loop.CHECKPOINT)["detector"] for work in (straight, stopped)]
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key
    place = f"supervisions.{len(detector.supervisions) - 1}.assigners.both"
    width, side, epoch = (
        float(states[0][f"{place}.{name}"]) for name in ("log_width", "mean_side", "epoch")
    )
    assert half["iteration"] == 3
    assert float(half["detector"][f"{place}.log_width"]) not in (0, width)
    assert width != 0
    assert side != 0
    assert epoch == 5 / 4  # before the sixth batch of two of eight images


HEAD, FEATURES = "heads={ both = %s }", "features={ both = %s }"
ASSIGNMENT, CLS, LOC = "assignment={ both = %s }", "supervision.cls=%s", "supervision.loc=%s"
NECK, SCORE, PREDICTOR = "neck=%s", "score=%s", "predictor=%s"
LEVELS = "levels={ both = %s }"
JOINT = "supervision={ joint = %s }"
FORWARD = "def forward(self, *given): return "
WRONG = [
    (HEAD, "self.channels = 7", FORWARD + "given[0]", "where (1, 7, 4, 4) is wanted"),
    (HEAD, "self.channels = 7.0", FORWARD + "1", "'channels' is 7.0 and must be a whole number"),
    (HEAD, "self.channels = 7", "def forward(self): pass", "called as forward(features): too many"),
    (FEATURES, "self.channels = 3; self.coarseness = 4", FORWARD + "1", "and must be 1 or 2"),
    (
        FEATURES,
        "self.channels = 64; self.coarseness = 2",
        FORWARD + "given[0].levels",
        "gives (1, 64, 32, 32), (1, 64, 16, 16), (1, 64, 8, 8), (1, 64, 4, 4), (1, 64, 2, 2) for",
    ),
    ("backbone=%s", "self.channels = [4] * 3", FORWARD + "[]", "'channels' are 3, where C2 to C5"),
    ("backbone=%s", "self.channels = 4", FORWARD + "[]", "'channels' is 4, and not a list"),
    ("backbone=%s", "self.channels = [4] * 4", FORWARD + "[]", "gives nothing for an image of 64"),
    (NECK, "self.channels = 4", FORWARD + "given[0]", "for 3 maps of the backbone, where (1, 4"),
    (ASSIGNMENT, "pass", "forward = 3", "what it makes has no forward(outputs, targets, epoch)"),
    (ASSIGNMENT, "pass", "def forward(self, a, b): pass", "called as forward(outputs, targets, e"),
    (ASSIGNMENT, "pass", "def forward(self, *a): pass", "gives a NoneType for 2 images with 1 ob"),
    (ASSIGNMENT, "self.normaliser = 'all'", FORWARD + "1", "'normaliser' is 'all' and must be"),
    (
        ASSIGNMENT,
        "pass",
        "def forward(self, *a): return Assignment(torch.zeros(3), torch.zeros(()))",
        "gives (3), () for 2 images with 1 objects in the first, where (2, ",
    ),
    (CLS, "pass", "def forward(self, a): return 1", "its forward is called as forward(outputs"),
    (CLS, "pass", FORWARD + "{'cls': given[0].logits}", "for 2 images, where () is wanted"),
    (JOINT, "pass", FORWARD + "given[1].cls", "gives a Assigned for 2 images, and not scalars"),
    (JOINT, "pass", FORWARD + "None", "gives a NoneType for 2 images, and not scalars by name"),
    (LEVELS, "pass", "def forward(self): pass", "called as forward(positives): too many"),
    (LEVELS, "pass", FORWARD + "given[0][:2]", "for positives of 5 levels, where (5) is wanted"),
    (LEVELS, "pass", FORWARD + "-given[0]", "gives [0, -1, -2, -3, -4] for positives of 5 lev"),
    (LEVELS, "pass", FORWARD + "given[0] / 0", "and not factors from 0"),
    (SCORE, "pass", FORWARD + "given[0]", "no attribute 'select', which this stage reads"),
    (SCORE, "self.select = 'cls'", FORWARD + "1", "'select' is 'cls' and must be class or score"),
    (SCORE, "self.select = 'class'", FORWARD + "given[0][0]", "where (2, 3, 3) is wanted"),
    (PREDICTOR, "pass", FORWARD + "given[0]", "and not Predictions"),
    (PREDICTOR, "pass", FORWARD + "Predictions([], [], {})", "no extra output 'quality', which a"),
    (
        PREDICTOR,
        "pass",
        FORWARD + "Predictions(given[0].cls, [], {'quality': []})",
        "gives (1, 64, 32, 32), (1, 64, 16, 16), (1, 64, 8, 8), (1, 64, 4, 4), (1, 64, 2, 2) for",
    ),
    (LOC, "pass", FORWARD + "torch.zeros(())", "gives a Tensor for 2 images, and not scalars by"),
    (LOC, "pass", FORWARD + "{'loc': torch.zeros(2)}", "gives (2) for 2 images, where () is wan"),
]


@pytest.mark.parametrize(("place", "body", "forward", "said"), WRONG)
def test_what_breaks_the_contract_is_one_line_when_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, body: str, forward: str, said: str
) -> None:
    lines = "\n        ".join(["super().__init__()", *body.split("; ")])
    text = (
        "import torch\nfrom torch import nn\nfrom detbench.stages.assignment import Assignment\n"
        "from detbench.stages.predictor import Predictions\n"
        "class Mine(nn.Module):\n"
        f"    def __init__(self, **given):\n        {lines}\n    {forward}\n"
    )
    name = mistakes.module(tmp_path, monkeypatch, text)
    target = own("Mine").replace("own_parts", name)
    mistakes.assert_refused(cell(place % target), name, said)
    if place in (ASSIGNMENT, CLS, JOINT, LOC):  # where costs are counted too
        with torch.device("meta"):
            mistakes.assert_refused(cell(place % target), name, said)


def test_an_error_in_a_trial_says_what_it_was_tried_on() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        build_detector(cell(f"heads={{ both = {own('Dividing')} }}").detector, 3)
    assert caught.value.__notes__ == [
        "raised while own_parts:Dividing was tried on a map of 64 x 4 x 4, as it was built"
    ]
