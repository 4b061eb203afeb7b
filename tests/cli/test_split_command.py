"""``data split``, and what ``data check`` and ``check`` say of splits that share images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from commands import Call
from made_coco import make_coco
from made_yolo import make_yolo


def test_split_then_check_then_share(call: Call, tmp_path: Path) -> None:
    make_coco(tmp_path / "data", images=24)
    source = "coco:data/coco/annotations/instances_train2017.json:data/coco/train2017"
    words = ("data", "split", source, "out", "--fraction", "0.25", "--format", "json")
    code, out, err = call(*words)
    assert code == 0, err
    done = json.loads(out)
    train_images, val_images = (one["images"] for one in done["splits"])
    assert train_images + val_images == 24
    assert 5 <= val_images <= 7
    assert (done["groups"], done["copies"]) == (24, 0)
    name = done["dataset"]
    code, out, _ = call("data", "check", name)
    assert code == 0, out
    checked = ("check", "tscode-table1", "--rows", "FCOS", "--profile", "smoke", "--dataset", name)
    assert "val images are" not in " ".join(call(*checked, "--read-data")[1].split())
    assert call(*words)[0] == 2  # not over what is there
    # One image in both files, another copied under another name.
    path = tmp_path / "out" / "annotations" / "instances_val.json"
    content = json.loads(path.read_text())
    train = json.loads((tmp_path / "out/annotations/instances_train.json").read_text())["images"]
    content["images"].append(train[0])
    folder = tmp_path / "data" / "coco" / "train2017"
    shutil.copy(folder / train[1]["file_name"], folder / "again.jpg")
    content["images"].append({**train[1], "file_name": "again.jpg"})
    path.write_text(json.dumps(content))
    code, out, _ = call("data", "check", name, "--format", "json")
    assert code == 1
    first, second = json.loads(out)[-1]["problems"]
    assert first.startswith(
        f"1 of the {val_images + 2} val images are train images too, for example "
    )
    copied = f"1 of the {val_images + 2} val images are copies of train images, for example "
    assert second.startswith(copied)
    code, out, _ = call("data", "check", name, "--no-images", "--format", "json")
    assert (code, len(json.loads(out)[-1]["problems"])) == (1, 1)
    for more, count in (((), 1), (("--read-data",), 2)):
        code, out, _ = call(*checked, *more, "--format", "json")
        assert code == 0
        found = [one for one in json.loads(out)["checks"] if one["name"] == "data"]
        assert [one["status"] for one in found] == ["ok"] + ["warning"] * count


def test_yolo(call: Call, tmp_path: Path) -> None:
    path = make_yolo(tmp_path / "fruit", images=8)
    code, out, err = call("data", "split", f"yolo:{path}", "out", "--fraction", "0.4")
    assert code == 0, err
    text = " ".join(out.split())
    assert "8 images in 8 groups that stay together." in text
    assert "Use it by --dataset coco:out/annotations/instances_train.json:" in text
    path.write_text("names: [a, b, c]\ntrain: images\nval: images/val\n")
    code, out, _ = call("data", "check", f"yolo:{path}", "--no-images")
    assert code == 1
    assert "8 of the 8 val images are train images too" in " ".join(out.split())
    checked = ("check", "tscode-table1", "--rows", "FCOS", "--profile", "smoke")
    code, out, _ = call(*checked, "--dataset", f"yolo:{path}")
    assert "8 of the 8 val images are train images too" in " ".join(out.split())


def test_mistakes(call: Call, tmp_path: Path) -> None:
    make_yolo(tmp_path / "fruit")
    for words, said in (
        (("yolo:fruit", "out", "--fraction", "1"), "give a share between 0 and 1"),
        (("yolo:fruit", "a:b"), "takes no ':' in a path"),
        (("shapes", "out"), "is drawn"),
        (("yolo:fruit", "out", "--group", "("), "no regular expression"),
    ):
        code, _, err = call("data", "split", *words)
        assert (code, err.count("\n")) == (2, 1), err
        assert said in err
