"""Explanations of one detected box equal the methods on a throw-away copy, leave no trace and bear threads."""

import copy
import hashlib
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from factory import images, model_of, tiny_network
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import scale_cam_image
from torch import Tensor, nn
from torchvision.ops import MultiScaleRoIAlign

from core.engine import explain_boxes, runner
from core.engine.explain import RawMap
from core.engine.explain_boxes import explain_box, renormalise_in_boxes, score_of, through_box
from core.engine.faithfulness import check_map
from core.engine.loader import Model
from core.engine.networks.detector import Box, Detector, build_detector
from core.engine.runner import Run, run
from core.errors import UsageError

SIDE, LABEL = 128, 2
BOX: Box = (14.0, 22.0, 90.0, 120.0)
METHODS = ("eigen_cam", "ablation_cam", "grad_cam", "saliency")
MAP_TOLERANCE = 1e-4
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def picture(seed: int = 0) -> np.ndarray:
    """Network input with values in [0, 1]."""
    return 1 / (1 + np.exp(-images(1, SIDE, seed=seed)))


@pytest.fixture(scope="module")
def model() -> Model:
    """Random weights with batch norm warmed up; frozen and shared, as pages have it."""
    torch.manual_seed(1)
    made = build_detector("fasterrcnn_mobilenet_v3_large_320_fpn", 3, size=SIDE)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        made.features(torch.from_numpy(np.concatenate([picture(seed) for seed in range(50, 58)])))
    return model_of(made)


@pytest.fixture(scope="module")
def done(model: Model) -> Run:
    return run(model, picture())


class Plain(nn.Module):
    """A copy of torchvision's detector that says the logits of BOX: what a user of grad-cam would write."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        net = copy.deepcopy(detector.net).requires_grad_(True)
        self.backbone, self.box_head, self.box_predictor = (
            net.backbone,
            net.roi_heads.box_head,
            net.roi_heads.box_predictor,
        )
        self.pool = MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)

    def of_maps(self, maps: dict[str, Tensor]) -> Tensor:
        pooled = self.pool(maps, [torch.tensor([BOX])], [(SIDE, SIDE)])
        return self.box_predictor(self.box_head(pooled))[0]

    def forward(self, x: Tensor) -> Tensor:
        scaled = (x - torch.tensor(MEAN).reshape(3, 1, 1)) / torch.tensor(DEVIATION).reshape(3, 1, 1)
        return self.of_maps(self.backbone(scaled))


@pytest.fixture(scope="module")
def plain(model: Model) -> Plain:
    return Plain(model.network).eval()


def log_odds(logits: Tensor) -> Tensor:
    return logits[LABEL] - torch.cat([logits[:LABEL], logits[LABEL + 1 :]]).logsumexp(dim=0)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def upsampled(signed: Tensor) -> np.ndarray:
    """Positive part of (h, w) at the size of the input, largest value 1 before it grows."""
    positive = signed.clamp_min(0) / signed.max()
    return nn.functional.interpolate(positive[None, None], (SIDE, SIDE), mode="bilinear")[0, 0].numpy()


# --- against independent answers -------------------------------------------------------------------------------------


def test_ablation_cam_equals_a_plain_loop_over_the_head(model: Model, done: Run, plain: Plain) -> None:
    """Channel by channel, off in every map of the pyramid at once."""
    with torch.no_grad():
        maps = model.network.pyramid(done.activations)
        score = log_odds(plain.of_maps(maps)[0])
        weights = []
        for channel in range(256):
            ablated = {name: value.clone() for name, value in maps.items()}
            for value in ablated.values():
                value[0, channel] = 0
            weights.append((score - log_odds(plain.of_maps(ablated)[0])) / abs(score))
        signed = sum(weight * channel for weight, channel in zip(weights, maps["0"][0], strict=True))
    ours = explain_box(model, done, 0, "ablation_cam", BOX, LABEL)
    assert signed.max() > 0
    assert ours.raw_max == pytest.approx(float(signed.max()), rel=1e-3)
    assert correlation(ours.values, upsampled(signed)) >= 0.999


def test_grad_cam_equals_the_library_on_a_copy(model: Model, done: Run, plain: Plain) -> None:
    last = list(plain.backbone.body.values())[-1]
    with GradCAM(plain, [last]) as cam:
        expected = cam(torch.from_numpy(picture()), [log_odds])[0]
    plain.zero_grad(set_to_none=True)
    ours = explain_box(model, done, 0, "grad_cam", BOX, LABEL)
    assert ours.raw_max > 0
    assert np.ptp(expected) > 0.5
    assert correlation(ours.values, expected) >= 0.999


def test_saliency_equals_autograd_on_a_copy(model: Model, done: Run, plain: Plain) -> None:
    leaf = torch.from_numpy(picture()).requires_grad_()
    log_odds(plain(leaf)[0]).backward()
    plain.zero_grad(set_to_none=True)
    expected = leaf.grad[0].abs().amax(dim=0).numpy()
    ours = explain_box(model, done, 0, "saliency", BOX, LABEL)
    assert ours.raw_max == pytest.approx(expected.max(), rel=1e-3)
    assert correlation(ours.values, expected) >= 0.999


def test_eigen_cam_is_the_first_component_bright_where_the_layer_is_active(model: Model, done: Run) -> None:
    maps = done.activations.target[0].flatten(1).T.double()  # (places, channels)
    centred = maps - maps.mean(dim=0)
    component = centred @ torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -1]
    mean = maps.mean(dim=1)
    component = component * torch.sign(((mean - mean.mean()) * component).sum())
    signed = component.reshape(done.activations.target.shape[2:]).float()
    ours = explain_box(model, done, 0, "eigen_cam", BOX, LABEL)
    assert correlation(ours.values, upsampled(signed)) >= 0.999


def test_maps_depend_on_box_and_label_but_for_eigen_cam(model: Model, done: Run) -> None:
    for method in METHODS:
        here = explain_box(model, done, 0, method, BOX, LABEL)
        others = [
            explain_box(model, done, 0, method, (70.0, 4.0, 124.0, 60.0), LABEL),
            explain_box(model, done, 0, method, BOX, 1),
        ]
        is_same = [np.array_equal(here.values, other.values) for other in others]
        assert is_same == [method == "eigen_cam"] * 2, method
        assert here.values.shape == (SIDE, SIDE)
        assert here.values.dtype == np.float32
        assert here.values.min() >= 0
        assert here.values.max() <= 1 + 1e-6


def test_image_of_a_batch_is_explained_by_its_index(model: Model) -> None:
    both = run(model, np.concatenate([picture(3), picture(4)]))
    alone = run(model, picture(4))
    for method in METHODS:
        ours = explain_box(model, both, 1, method, BOX, LABEL).values
        expected = explain_box(model, alone, 0, method, BOX, LABEL).values
        assert correlation(ours, expected) >= 0.999, method


def test_box_can_be_tested_for_faithfulness(model: Model, done: Run) -> None:
    """Blanking starts from the probability of the fixed box."""
    seen, seen_run = through_box(model, done, "grad_cam", BOX)
    checked = check_map(seen, seen_run, 0, "grad_cam", score_of(LABEL))
    with torch.no_grad():
        scores = model.network.box_scores(done.activations, torch.tensor([BOX]))[0, 0]
    assert checked.by_map[0] == pytest.approx(float(scores[LABEL].sigmoid()), abs=1e-5)
    assert np.ptp(checked.by_map) > 0
    assert abs(checked.random_weights_correlation) < 0.99


# --- a shared network ------------------------------------------------------------------------------------------------


def fingerprint(network: nn.Module) -> str:
    """Of every tensor, hook, flag and gradient."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode() + value.numpy().tobytes())
    for name, module in network.named_modules():
        hooks = [len(held) for key, held in vars(module).items() if key.endswith("_hooks")]
        digest.update(f"{name} {type(module)} {module.training} {hooks}".encode())
    for name, p in network.named_parameters():
        digest.update(f"{name} {p.requires_grad} {p.grad is None}".encode())
    return digest.hexdigest()


def test_fingerprint_sees_what_it_should() -> None:
    network = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1)).requires_grad_(False)
    seen = {fingerprint(network)}
    network[0].register_forward_hook(lambda *_: None)
    seen.add(fingerprint(network))
    network[1].eval()
    seen.add(fingerprint(network))
    network[0].bias.requires_grad_(True)
    seen.add(fingerprint(network))
    network[1].running_mean += 1
    seen.add(fingerprint(network))
    assert len(seen) == 5


@pytest.mark.parametrize("method", METHODS)
def test_explaining_leaves_network_and_run_as_they_were(model: Model, done: Run, method: str) -> None:
    before, target = fingerprint(model.network), done.activations.target.clone()
    explain_box(model, done, 0, method, BOX, LABEL)
    assert fingerprint(model.network) == before
    assert torch.equal(done.activations.target, target)
    assert not done.activations.target.requires_grad


@pytest.mark.parametrize("error", [RuntimeError, IndexError, KeyboardInterrupt])
@pytest.mark.parametrize("method", sorted(set(METHODS) - {"eigen_cam"}))
def test_an_exception_in_the_middle_leaves_no_trace(
    model: Model, done: Run, monkeypatch: pytest.MonkeyPatch, method: str, error: type[BaseException]
) -> None:
    monkeypatch.setattr(runner, "_PLACES", threading.BoundedSemaphore(1))
    monkeypatch.setattr(runner, "WAIT_SECONDS", 0.5)
    before, expected = fingerprint(model.network), explain_box(model, done, 0, method, BOX, LABEL)

    calls = itertools.count()

    def broken(row: Tensor) -> Tensor:
        if method != "ablation_cam" or next(calls) == 9:
            raise error("in the middle")
        return row[LABEL]

    with monkeypatch.context() as patched:
        patched.setattr(explain_boxes, "score_of", lambda label: broken)
        with pytest.raises(error, match="in the middle"):
            explain_box(model, done, 0, method, BOX, LABEL)
    assert fingerprint(model.network) == before
    again = explain_box(model, done, 0, method, BOX, LABEL)  # its place in the queue is free again
    assert np.array_equal(again.values, expected.values)


def test_two_threads_on_one_network_give_what_one_thread_gives(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two places, so that nothing but the design keeps the threads apart."""
    monkeypatch.setattr(runner, "_PLACES", threading.BoundedSemaphore(2))
    before = fingerprint(model.network)
    users = [(picture(7), BOX, 1), (picture(8), (30.0, 10.0, 100.0, 70.0), 3)]

    def one_user(x: np.ndarray, box: Box, label: int) -> list[RawMap]:
        own = run(model, x)
        return [explain_box(model, own, 0, method, box, label) for method in METHODS]

    serial = [one_user(*user) for user in users]
    start = threading.Barrier(2)

    def together(user: tuple[np.ndarray, Box, int]) -> list[RawMap]:
        start.wait()
        return one_user(*user) + one_user(*user)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(together, users))
    for expected, found in zip(serial, answers, strict=True):
        for one, other in zip(expected * 2, found, strict=True):
            assert np.abs(one.values - other.values).max() <= MAP_TOLERANCE
    for one, other in zip(*serial, strict=True):  # no two users could have been given the same map unnoticed
        assert np.abs(one.values - other.values).max() > 0.05
    assert fingerprint(model.network) == before


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [0, 4, -1])
def test_unknown_label_is_a_usage_error(model: Model, done: Run, label: int) -> None:
    with pytest.raises(UsageError, match=f"label {label}; this detector knows 1 to 3"):
        explain_box(model, done, 0, "grad_cam", BOX, label)


def test_flat_box_and_unknown_method_are_usage_errors(model: Model, done: Run) -> None:
    with pytest.raises(UsageError, match="wanted: x0 < x1"):
        explain_box(model, done, 0, "grad_cam", (9.0, 9.0, 9.0, 40.0), LABEL)
    with pytest.raises(UsageError, match="'score_cam'"):
        explain_box(model, done, 0, "score_cam", BOX, LABEL)


def test_network_without_boxes_is_a_usage_error() -> None:
    other = model_of(tiny_network())
    with pytest.raises(UsageError, match="by TinyNetwork; wanted: a detector"):
        explain_box(other, run(other, images(1)), 0, "grad_cam", BOX, 1)


# --- the picture of all boxes ----------------------------------------------------------------------------------------


def test_each_box_is_stretched_for_itself_as_grad_cam_does() -> None:
    rng = np.random.default_rng(0)
    faint, strong = (scale * rng.random((40, 50), dtype=np.float32) for scale in (0.01, 0.9))
    boxes: list[Box] = [(2.0, 3.0, 20.0, 30.0), (25.0, 10.0, 49.0, 38.0)]
    found = renormalise_in_boxes([faint, strong], boxes)
    expected = np.zeros((40, 50), np.float32)
    expected[3:30, 2:20] = scale_cam_image(faint[None, 3:30, 2:20])[0]
    expected[10:38, 25:49] = scale_cam_image(strong[None, 10:38, 25:49])[0]
    assert found == pytest.approx(expected, abs=1e-4)
    assert found.dtype == np.float32


def test_larger_value_wins_where_boxes_overlap() -> None:
    rng = np.random.default_rng(1)
    maps = [rng.random((20, 20), dtype=np.float32) for _ in range(2)]
    boxes: list[Box] = [(0.0, 0.0, 12.0, 12.0), (6.0, 6.0, 20.0, 20.0)]
    alone = [renormalise_in_boxes([one], [box]) for one, box in zip(maps, boxes, strict=True)]
    assert np.array_equal(renormalise_in_boxes(maps, boxes), np.maximum(*alone))


def test_every_pixel_that_a_box_touches_belongs_to_it_and_nothing_outside_the_picture() -> None:
    ramp = np.arange(100, dtype=np.float32).reshape(10, 10)
    found = renormalise_in_boxes([ramp], [(-3.0, 4.2, 2.5, 11.0)])
    assert set(zip(*np.nonzero(found), strict=True)) == {(y, x) for y in range(4, 10) for x in range(3)} - {(4, 0)}
    assert found[9, 2] == 1


def test_map_that_is_flat_in_its_box_stays_dark() -> None:
    flat = np.zeros((10, 10), np.float32)
    flat[8, 8] = 1
    assert not renormalise_in_boxes([flat], [(0.0, 0.0, 5.0, 5.0)]).any()
