"""A single image file, without any data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from detbench.data.coco_check import one_line
from detbench.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor


def read(path: Path) -> Tensor:
    """The image in ``path`` as it is to be seen: EXIF orientation applied, transparency dropped.

    Returns:
        (3, H, W), uint8, RGB.

    Raises:
        DataError: the file is missing, no image, or damaged.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError
    from torchvision.transforms.v2 import functional as F

    from detbench.data.coco import DAMAGE

    try:
        with Image.open(path) as stored:
            turned = ImageOps.exif_transpose(stored)
            return F.pil_to_tensor(turned.convert("RGB"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder: give its images, as in {path}/*.jpg") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: not an image that Pillow can read (JPEG, PNG, ...)") from None
    except DAMAGE as error:
        raise DataError(f"{path}: cannot be read as an image: {one_line(error)}") from None
