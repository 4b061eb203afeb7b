"""What numbers depend on, in one line, as sacreBLEU's signature is (Post 2018). No torch.

Numbers of two tables may stand side by side where their signatures are equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from detbench import __version__
from detbench.recipe.digest import digest
from detbench.recipe.experiment import Cell, Data, Evaluation

MIXED = "by-row"
PARTS = ("data", "split", "images", "input", "thr", "eval", "dets", "ckpt", "seeds", "stat")


def of_rows(
    cells: Sequence[Cell],
    protocols: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    statistics: str,
) -> dict[str, str]:
    """The signature of a table, part by part; ``by-row`` where its rows differ.

    Args:
        cells: what was trained.
        protocols: of what is stored, as ``runner.compute`` writes them; those of another number of
            parts say less.
        statistics: how differences were judged.
    """
    return {
        "data": _one(_data(cell.data) for cell in cells),
        "split": _one(str(one.get("split", "val")) for one in protocols),
        "images": _one(str(one["images"]) for one in protocols if "images" in one),
        "input": _one(_input(one["input"]) for one in protocols if "input" in one),
        "thr": _one(_thresholds(one["inference"]) for one in protocols if "inference" in one),
        "eval": _one(_word(str(one["evaluator"])) for one in protocols if "evaluator" in one),
        "dets": _one(str(cell.evaluation.max_detections) for cell in cells),
        "ckpt": _one(_checkpoint(cell) for cell in cells),
        "seeds": ",".join(map(str, seeds)),
        "stat": statistics,
    }


def of_files(
    source: str, images: int, evaluation: Evaluation, seeds: Sequence[int], statistics: str
) -> dict[str, str]:
    """The signature of results files from elsewhere: what made them is not known."""
    return {
        "data": _word(source),
        "images": str(images),
        "eval": f"detbench-{__version__}",
        "dets": str(evaluation.max_detections),
        "seeds": "+".join(map(str, seeds)),
        "stat": statistics,
    }


def line(parts: Mapping[str, str]) -> str:
    """One line: ``data:…|split:val|…``."""
    return "|".join(f"{name}:{value}" for name, value in parts.items() if value)


def differing(first: Mapping[str, str], second: Mapping[str, str]) -> list[str]:
    """Parts in which two signatures differ; the number of images counts, seeds do not."""
    return [
        name
        for name in PARTS
        if name not in ("seeds", "stat") and first.get(name) != second.get(name)
    ]


def _one(values: Iterable[str]) -> str:
    found = list(dict.fromkeys(values))
    return found[0] if len(found) == 1 else MIXED if found else ""


def _word(text: str) -> str:
    return text.replace(",", "").replace(" ", "-").replace("|", "/")


def _data(data: Data) -> str:
    return f"{_word(data.label())}#{digest(data)[:8]}"


def _input(found: Any) -> str:
    if not isinstance(found, Mapping):
        return _word(str(found))
    short = found.get("short", ())
    short = short if isinstance(short, list | tuple) else [short]
    return f"{'/'.join(map(str, short))}x{found.get('long', '')}"


def _thresholds(found: Any) -> str:
    if not isinstance(found, Mapping):
        return _word(str(found))
    score, nms = found.get("score_threshold"), found.get("nms")
    known = isinstance(score, int | float) and isinstance(nms, int | float)
    return f"score{score:g}-nms{nms:g}" if known else "own"


def _checkpoint(cell: Cell) -> str:
    averaged = "averaged" if cell.training.average else ""
    metric = cell.training.chosen_by
    chosen = f"best-{metric}-on-val" if metric else ""
    return "-".join(filter(None, (averaged, chosen))) or "last"
