"""The table of data sets: a kind is its file and a line here. No torch."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field, TypeAdapter

from detbench.data.coco import Coco
from detbench.data.coco_json import CocoJson
from detbench.data.kind import DataSet
from detbench.data.openimages import OpenImages
from detbench.data.shapes import Shapes
from detbench.data.voc import Voc
from detbench.data.widerface import WiderFace
from detbench.data.yolo import Yolo

Data = Annotated[
    Shapes | Coco | CocoJson | Yolo | Voc | WiderFace | OpenImages, Field(discriminator="kind")
]

KINDS: tuple[type[DataSet], ...] = get_args(get_args(Data)[0])


def named() -> dict[str, Data]:
    """The data sets that a name alone stands for, with their defaults, by what ``--dataset``
    takes.
    """
    kinds = [get_args(one.model_fields["kind"].annotation)[0] for one in KINDS if one.what]
    make: TypeAdapter[Data] = TypeAdapter(Data)
    return {kind: make.validate_python({"kind": kind}) for kind in kinds}
