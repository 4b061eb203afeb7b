from __future__ import annotations

from pathlib import Path

from no_torch import NoTorch

SCRIPT = """
import detbench.progress, detbench.training.schedule, detbench.evaluation.results
from detbench.evaluation.coco import evaluate
from detbench.recipe.experiment import Evaluation
truth = {"images": [{"id": 1}], "categories": [{"id": 1}],
         "annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9]}]}
found = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 1}]
for engine in ("detbench", "faster", "pycocotools"):
    print(round(evaluate(truth, found, Evaluation(), engine)["AP"], 6))
"""


def test_scoring_and_the_schedule_never_import_torch(no_torch: NoTorch, tmp_path: Path) -> None:
    done = no_torch.run(SCRIPT, folder=tmp_path)
    assert (done.returncode, done.stdout.split()) == (0, ["1.0"] * 3), done.stderr
    assert "torch" not in done.modules
