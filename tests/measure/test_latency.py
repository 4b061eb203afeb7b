import pytest
import torch

from detbench.assembly import build_detector
from detbench.errors import RecipeError
from detbench.measure import latency
from detbench.measure.latency import Settings, measure
from detbench.recipe import load, resolve

CPU = torch.device("cpu")
QUICK = {"input": (97, 65), "iterations": 3, "warmup": 1, "pairs": 50}


@pytest.fixture(scope="module", params=["fcos-r50", "faster-rcnn-r50"])
def spec(request):
    return resolve.lighten(load.detector(request.param).detector, load.profile("smoke").light)


@pytest.fixture
def detector(spec):
    return build_detector(spec, 7)


class Calls:
    """Stands in for a detector's steps and notes what they get."""

    def __init__(self, detector, monkeypatch):
        self.events = []
        post = detector.postprocess
        monkeypatch.setattr(
            detector,
            "postprocess",
            lambda raw, sizes: self.events.append((detector.inference, sizes, post(raw, sizes))),
        )


def test_steps_and_samples(detector, spec):
    found = measure(detector, spec.pixels, Settings(**QUICK), CPU)
    assert list(found.steps) == [
        "preprocess",
        "model",
        "postprocess",
        "total",
        "postprocess_no_nms",
        "total_no_nms",
    ]
    assert {len(timing.samples_ms) for timing in found.steps.values()} == {3}
    for index in range(3):
        sample = {name: timing.samples_ms[index] for name, timing in found.steps.items()}
        shared = sample["preprocess"] + sample["model"]
        assert sample["total"] == pytest.approx(shared + sample["postprocess"], abs=1e-3)
        assert sample["total_no_nms"] == pytest.approx(
            shared + sample["postprocess_no_nms"], abs=1e-3
        )
        assert min(sample.values()) > 0


@pytest.mark.parametrize(("nms", "suffix"), [(True, ""), (False, "_no_nms")])
def test_one_way_of_post_processing(detector, spec, nms, suffix):
    found = measure(detector, spec.pixels, Settings(**QUICK), CPU, (nms,))
    assert list(found.steps) == ["preprocess", "model", f"postprocess{suffix}", f"total{suffix}"]


def test_nms_is_really_off_and_candidates_pass(detector, spec, monkeypatch):
    usual = detector.inference
    calls = Calls(detector, monkeypatch)
    measure(detector, spec.pixels, Settings(**QUICK), CPU)
    assert len(calls.events) == 2 * (3 + 1)
    with_nms, without = calls.events[:2]
    assert with_nms[0].nms == usual.nms
    assert without[0].nms == 1.0
    assert without[1].tolist() == [[65, 97]]
    # 50 pairs pass; boxes without area are dropped before NMS
    assert 0 < len(without[2][0]) <= 50
    assert len(with_nms[2][0]) <= len(without[2][0])
    assert detector.inference == usual


def test_the_recipes_threshold_is_kept_for_trained_weights(detector, spec, monkeypatch):
    calls = Calls(detector, monkeypatch)
    measure(detector, spec.pixels, Settings(**{**QUICK, "pairs": None}), CPU)
    assert {event[0].score_threshold for event in calls.events} == {0.05}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("channels_last", [True, False])
def test_precision_and_layout_reach_the_network(detector, spec, precision, channels_last):
    seen = []
    detector.backbone.register_forward_hook(lambda _, x, y: seen.append((x[0], y[0])))
    settings = Settings(**QUICK, precision=precision, channels_last=channels_last, batch=2)
    measure(detector, spec.pixels, settings, CPU, (True,))
    images, output = seen[-1]
    assert images.shape == (2, 3, 65, 97)
    assert images.is_contiguous(memory_format=torch.channels_last) == channels_last
    assert output.dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)


def test_the_clock_is_read_when_the_device_is_idle(detector, spec, monkeypatch):
    devices = []
    monkeypatch.setattr(latency, "now_ms", lambda device: devices.append(device) or 0.0)
    measure(detector, spec.pixels, Settings(**QUICK), CPU)
    assert devices == [CPU] * (3 + 2 * 2) * 4


def test_record(detector, spec):
    record = measure(detector, spec.pixels, Settings(**QUICK), CPU, (True,)).record()
    assert record["settings"]["input"] == "97x65"
    assert record["settings"]["batch"] == 1
    assert {"device", "threads", "torch", "detbench"} <= set(record["machine"])
    assert set(record["steps"]["model"]) == {"median_ms", "p95_ms", "n", "samples_ms"}


def test_an_absurd_input(detector, spec):
    with pytest.raises(RecipeError, match="too large"):
        measure(detector, spec.pixels, Settings((99999, 32)), CPU)
