"""Faster R-CNN of the house against torchvision's own, its losses in both modes, and the score of a fixed box."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.models.detection as tv
from torch import Tensor, nn
from torchvision.ops import MultiScaleRoIAlign, box_iou

from core.engine.networks.box_view import BoxView, PyramidView
from core.engine.networks.detector import ASPECT_RATIOS, Detector, build_detector
from core.engine.networks.split import Activations
from core.errors import UsageError

MOBILE, RESNET = "fasterrcnn_mobilenet_v3_large_320_fpn", "fasterrcnn_resnet50_fpn"
SIDE = 128
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
LOSSES = {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}


def pictures(n: int, seed: int = 0) -> Tensor:
    """Blobs and noise, (n, 3, SIDE, SIDE) in [0, 1]."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((n, 3, 8, 8), dtype=np.float32))
    smooth = nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear")
    return (smooth + torch.from_numpy(0.1 * rng.standard_normal((n, 3, SIDE, SIDE)).astype(np.float32))).clamp(0, 1)


def detector_of(name: str = MOBILE, **options: Any) -> Detector:
    """Random weights, batch norm warmed up, and scores that differ from box to box; in evaluation mode, not frozen."""
    torch.manual_seed(3)
    made = build_detector(name, 3, size=SIDE, **options)
    momenta = {module: module.momentum for module in made.modules() if isinstance(module, nn.BatchNorm2d)}
    for module in momenta:
        module.momentum = 1.0
    with torch.no_grad():
        made.features(pictures(8, seed=9))
        made.net.roi_heads.box_predictor.cls_score.weight.mul_(20)
    made.net.roi_heads.fg_bg_sampler.batch_size_per_image = 64  # 512 take seconds
    for module, momentum in momenta.items():
        module.momentum = momentum
    return made.eval()


@pytest.fixture(scope="module")
def mobile() -> Detector:
    """Shared: no test may change it."""
    return detector_of()


@pytest.fixture(scope="module")
def resnet() -> Detector:
    made = detector_of(RESNET)
    made.net.rpn._post_nms_top_n["testing"] = 50  # a thousand take half a minute
    return made


def buffers(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.named_buffers()}


def is_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


def flags(network: nn.Module) -> dict[str, bool]:
    return {name: module.training for name, module in network.named_modules()}


def truth() -> list[dict[str, Tensor]]:
    """One image with two findings, one without any."""
    boxes = torch.tensor([[10.0, 20.0, 60.0, 90.0], [70.0, 5.0, 90.0, 125.0]])
    return [{"boxes": boxes, "labels": torch.tensor([1, 3])}, nothing()]


def nothing() -> dict[str, Tensor]:
    return {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}


# --- words in place of boxes -----------------------------------------------------------------------------------------


def values_of(losses: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in losses.items()}


def words(*presence: float) -> dict[str, Tensor]:
    return {**nothing(), "presence": torch.tensor(presence)}


def test_presence_is_learnt_from_the_mean_odds_over_the_proposals(mobile: Detector) -> None:
    """By hand, through the boxes that torchvision proposes; what is not known counts nothing."""
    x, known = pictures(2), torch.tensor([[1.0, 0.0, torch.nan], [0.0, torch.nan, torch.nan]])
    found = values_of(mobile.loss(x, [words(*row) for row in known.tolist()]))
    entropies = []
    with torch.no_grad():
        for image, row in zip(x, known, strict=True):
            activations = mobile.features(image[None])
            images = tv.image_list.ImageList(image[None], [(SIDE, SIDE)])
            (proposals,), _ = mobile.net.rpn(images, mobile.pyramid(activations))
            odds = mobile.box_scores(activations, proposals[:64])[0, :, 1:].exp().mean(dim=0)
            for probability, truth in zip(odds / (1 + odds), row, strict=True):
                if truth == truth:
                    entropies.append(-torch.log(probability if truth else 1 - probability))
    assert set(found) == {"loss", "loss_presence"}
    assert found["loss"] == found["loss_presence"]
    assert found["loss_presence"] == pytest.approx(float(torch.stack(entropies).mean()), rel=1e-4)


def test_images_with_boxes_lose_as_without_those_with_words() -> None:
    made, x = detector_of(), pictures(3)
    alone = values_of(made.loss(x[:2], truth()))
    both = values_of(made.loss(x, [*truth(), words(1.0, 0.0, torch.nan)]))
    assert set(both) == {"loss", "loss_presence", *LOSSES}
    for name in LOSSES:
        assert both[name] == alone[name]
    assert both["loss"] == pytest.approx(alone["loss"] + both["loss_presence"])


def test_words_are_learnt_and_leave_the_modes_as_they_were() -> None:
    made = detector_of().train()
    before, x = flags(made), pictures(4)
    optimizer = torch.optim.SGD(made.parameters(), 0.0005)
    own = [words(float(index % 2), torch.nan, 0.0) for index in range(4)]
    losses = []
    for _ in range(6):
        loss = made.loss(x, own)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2
    assert flags(made) == before


def test_an_image_without_a_proposal_adds_nothing() -> None:
    made = detector_of()
    made.net.rpn.score_thresh = 1.1
    assert values_of(made.loss(pictures(1), [words(1.0, 0.0, 0.0)]))["loss"] == 0


# --- the network -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [MOBILE, RESNET])
def test_state_is_that_of_torchvision_but_for_the_anchors(name: str) -> None:
    ours = {key: value.shape for key, value in build_detector(name, 7, size=SIDE).net.state_dict().items()}
    plain = getattr(tv, name)(weights=None, weights_backbone=None, num_classes=8).state_dict()
    theirs = {key: value.shape for key, value in plain.items()}
    assert ours.keys() == theirs.keys()
    assert {key for key in ours if ours[key] != theirs[key]} <= {
        f"rpn.head.{layer}.{kind}" for layer in ("cls_logits", "bbox_pred") for kind in ("weight", "bias")
    }


@pytest.mark.parametrize("kind", ["mobile", "resnet"])
def test_output_is_torchvisions_own_as_one_tensor(request: pytest.FixtureRequest, kind: str) -> None:
    """By its whole forward pass: its own scaling and resizing included, which must not change the picture."""
    made, x = request.getfixturevalue(kind), pictures(2)
    with torch.no_grad():
        rows, expected = made(x), made.net(list(x))
    assert rows.shape == (2, 100, 6)
    for row, one in zip(rows, expected, strict=True):
        n = len(one["labels"])
        assert n > 0
        assert torch.equal(row[:n], torch.cat([one["boxes"], one["labels"][:, None], one["scores"][:, None]], dim=1))
        assert torch.equal(row[n:], torch.zeros(100 - n, 6))
        assert (row[:-1, 5] >= row[1:, 5]).all()
    assert not torch.equal(rows[0], rows[1])


def test_image_without_detections_is_all_zeros() -> None:
    made = detector_of(max_detections=7)
    with torch.no_grad():
        made.net.roi_heads.box_predictor.cls_score.bias[0] = 1e4  # background everywhere
        rows = made(pictures(2))
    assert torch.equal(rows, torch.zeros(2, 7, 6))


def test_picture_is_normalised_once(mobile: Detector) -> None:
    x = pictures(1)
    scaled = (x - torch.tensor(MEAN).reshape(3, 1, 1)) / torch.tensor(DEVIATION).reshape(3, 1, 1)
    with torch.no_grad():
        ours, expected = mobile.features(x), list(mobile.net.backbone.body(scaled).values())
    assert torch.allclose(ours.target, expected[-1], rtol=1e-4, atol=1e-4)
    assert ours.target.shape == (1, 960, SIDE // 32, SIDE // 32)
    assert [tuple(part.shape) for part in ours.rest] == [(1, 160, SIDE // 32, SIDE // 32)]


def test_head_leaves_the_activations_as_they_are(mobile: Detector) -> None:
    with torch.no_grad():
        done = mobile.features(pictures(1))
        before = Activations(done.target.clone(), tuple(part.clone() for part in done.rest))
        first, second = mobile.head(done), mobile.head(done)
    assert torch.equal(first, second)
    assert torch.equal(done.target, before.target)
    assert all(torch.equal(a, b) for a, b in zip(done.rest, before.rest, strict=True))


def test_detections_have_a_gradient_at_the_target(mobile: Detector) -> None:
    activations = mobile.features(pictures(1))
    target = activations.target.detach().clone().requires_grad_()
    found = mobile.head(Activations(target, tuple(part.detach() for part in activations.rest), activations.context))
    (gradient,) = torch.autograd.grad(found[..., 5].sum(), target)
    assert found[..., 5].max() > 0
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


def test_state_alone_rebuilds_the_network(mobile: Detector) -> None:
    other = build_detector(MOBILE, 3, size=SIDE)
    other.load_state_dict(mobile.state_dict())
    with torch.no_grad():
        assert torch.equal(other.eval()(pictures(1)), mobile(pictures(1)))


def test_anchors_reach_a_tall_spine_where_torchvisions_do_not() -> None:
    spine = torch.tensor([[-30.0, -180.0, 30.0, 180.0]])

    def best(ratios: tuple[float, ...]) -> float:
        made = build_detector(MOBILE, 7, size=512, aspect_ratios=ratios)
        return float(box_iou(spine, torch.cat(made.net.rpn.anchor_generator.cell_anchors)).max())

    assert best(ASPECT_RATIOS) > 0.7  # from here on an anchor counts as the object
    assert best((0.5, 1.0, 2.0)) < 0.5


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: build_detector("yolo", 7, size=SIDE), "fasterrcnn_resnet50_fpn"),
        (lambda: build_detector(MOBILE, 7, size=100), "100 pixels; wanted: a multiple of 32"),
        (lambda: build_detector(MOBILE, 7, size=0), "0 pixels; wanted: a multiple of 32"),
    ],
)
def test_wrong_plan_is_a_usage_error(call: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()


@pytest.mark.parametrize("shape", [(1, 3, 160, 160), (1, 1, SIDE, SIDE), (1, 3, SIDE, 96)])
def test_input_of_another_size_is_refused_not_resized(mobile: Detector, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="this detector wants 3 x 128 x 128"):
        mobile(torch.zeros(shape))
    with pytest.raises(UsageError, match="this detector wants 3 x 128 x 128"):
        mobile.loss(torch.zeros(shape), [nothing()])


def test_pretrained_takes_over_all_but_anchors_and_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """With random numbers in place of the download, in the same layers as torchvision's pretrained ones."""
    coco = getattr(tv, MOBILE)(weights=None, weights_backbone=None)
    monkeypatch.setattr(tv, MOBILE, lambda weights, progress: coco)
    state = coco.state_dict()
    for name in [name for name in state if name.endswith("num_batches_tracked")]:
        del state[name]  # its frozen batch norm has none
    coco.state_dict = lambda: state
    made = build_detector(MOBILE, 3, size=SIDE, pretrained=True)
    own = made.net.state_dict()
    other = {name for name, value in state.items() if own[name].shape != value.shape or not own[name].equal(value)}
    layers = ("rpn.head.cls_logits", "rpn.head.bbox_pred")
    layers += ("roi_heads.box_predictor.cls_score", "roi_heads.box_predictor.bbox_pred")
    assert {name.rpartition(".")[0] for name in other} == set(layers)
    assert made.frozen_batch_norm
    build_detector(MOBILE, 3, size=SIDE).load_state_dict(made.state_dict())


# --- losses ----------------------------------------------------------------------------------------------------------


def test_losses_in_training_are_torchvisions_and_their_sum() -> None:
    made, x = detector_of().train(), pictures(2)
    plain = copy.deepcopy(made.net)
    torch.manual_seed(1)
    expected = plain(list(x), truth())
    torch.manual_seed(1)
    losses = made.loss(x, truth())
    values = {name: loss.item() for name, loss in losses.items()}
    assert values.keys() == LOSSES | {"loss"}
    for name in LOSSES:
        assert values[name] == pytest.approx(expected[name].item(), rel=1e-6)
        assert values[name] > 0
    assert values["loss"] == pytest.approx(sum(values[name] for name in LOSSES))
    losses["loss"].backward()
    assert [name for name, p in made.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_images_without_findings_alone_give_finite_losses_and_no_box_loss() -> None:
    losses = detector_of().train().loss(pictures(2), [nothing(), nothing()])
    assert all(bool(torch.isfinite(value)) for value in losses.values())
    assert losses["loss_box_reg"].item() == losses["loss_rpn_box_reg"].item() == 0
    assert losses["loss_classifier"].item() > 0


def test_validation_loss_changes_nothing_and_is_the_same_each_time() -> None:
    made, x = detector_of(), pictures(2)
    before, flags_before, numbers = buffers(made), flags(made), torch.get_rng_state()
    with torch.no_grad():
        first, second = made.loss(x, truth()), made.loss(x, truth())
    assert first.keys() == LOSSES | {"loss"}
    assert is_same(first, second)
    assert not first["loss"].requires_grad
    assert is_same(buffers(made), before)
    assert flags(made) == flags_before
    assert not any(flags_before.values())
    assert torch.equal(torch.get_rng_state(), numbers)


def test_validation_loss_uses_the_running_statistics(mobile: Detector) -> None:
    """Of one image it is the same alone and beside another; a batch norm in training mode would mix them."""
    pair = pictures(2)
    with torch.no_grad():
        both = mobile.loss(pair, [nothing(), nothing()])
        alone = [mobile.loss(pair[i : i + 1], [nothing()]) for i in range(2)]
    mean = np.mean([float(one["loss_objectness"]) for one in alone])
    assert float(both["loss_objectness"]) == pytest.approx(mean, rel=0.02)  # anchors are drawn at random


def test_validation_loss_that_fails_leaves_the_evaluation_mode() -> None:
    made = detector_of()
    flat = {"boxes": torch.tensor([[10.0, 10.0, 10.0, 50.0]]), "labels": torch.tensor([1])}
    with pytest.raises(AssertionError, match="positive height and width"):
        made.loss(pictures(1), [flat])
    assert not any(flags(made).values())


@pytest.mark.parametrize("frozen", [False, True])
def test_training_moves_batch_norm_unless_it_is_frozen(frozen: bool) -> None:
    made = detector_of()
    made.frozen_batch_norm = frozen
    made.train()
    before = buffers(made)
    made.loss(pictures(2), truth())
    assert is_same(buffers(made), before) == frozen
    assert made.net.rpn.training
    assert made.net.roi_heads.training


# --- the score of a fixed box ----------------------------------------------------------------------------------------

BOXES = torch.tensor([[8.0, 8.0, 120.0, 124.0], [30.0, 40.0, 50.0, 58.0], [100.0, 3.0, 111.0, 90.0]])


def softmax_in_boxes(made: Detector, x: Tensor, boxes: Tensor) -> Tensor:
    """By torchvision's parts, (B, n_findings + 1)."""
    net = made.net
    maps = net.backbone(net.transform.normalize(x))
    pooled = MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)(maps, [boxes], [(SIDE, SIDE)])
    return net.roi_heads.box_predictor(net.roi_heads.box_head(pooled))[0].softmax(dim=1)


@pytest.mark.parametrize("kind", ["mobile", "resnet"])
def test_box_score_is_the_log_odds_of_torchvisions_softmax(request: pytest.FixtureRequest, kind: str) -> None:
    made, x = request.getfixturevalue(kind), pictures(2)
    with torch.no_grad():
        scores = made.box_scores(made.features(x), BOXES)
        assert scores.shape == (2, 3, 4)
        for image, row in zip(x, scores, strict=True):
            expected = softmax_in_boxes(made, image[None], BOXES)
            assert torch.allclose(row.sigmoid(), expected, atol=1e-5)
            assert float(expected.std(dim=0).max()) > 0.01  # the boxes differ


def test_log_odds_stay_finite_where_the_softmax_is_one() -> None:
    made = detector_of()
    with torch.no_grad():
        made.net.roi_heads.box_predictor.cls_score.bias[2] = 200.0
        scores = made.box_scores(made.features(pictures(1)), BOXES)[0]
    assert torch.isfinite(scores).all()
    assert (scores[:, 2] > 100).all()


def test_detections_are_box_scores_of_the_proposals(mobile: Detector) -> None:
    """The output's scores, found again without suppression."""
    with torch.no_grad():
        done = mobile.features(pictures(1))
        proposals = []
        hook = mobile.net.rpn.register_forward_hook(lambda module, given, result: proposals.append(result[0][0]))
        rows = mobile.head(done)[0]
        hook.remove()
        scores = mobile.box_scores(done, proposals[0])[0].sigmoid()
    found = rows[rows[:, 5] > 0]
    assert len(found) > 10
    for label, score in found[:, 4:].tolist():
        assert float((scores[:, int(label)] - score).abs().min()) < 1e-6


def test_box_score_has_a_gradient_at_the_target_and_at_the_rest(resnet: Detector) -> None:
    with torch.no_grad():
        done = resnet.features(pictures(1))
    target = done.target.clone().requires_grad_()
    score = resnet.box_scores(Activations(target, done.rest), BOXES[:1])[0, 0, 1]
    (gradient,) = torch.autograd.grad(score, target)
    step = 0.1 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        up, down = (
            resnet.box_scores(Activations(done.target + sign * step, done.rest), BOXES[:1])[0, 0, 1]
            for sign in (0.01, -0.01)
        )
    assert float((gradient * step).sum()) == pytest.approx(float(up - down) / 0.02, rel=0.05)


@pytest.mark.parametrize("kind", ["mobile", "resnet"])
@pytest.mark.parametrize("view", [BoxView, PyramidView])
def test_views_give_the_score_of_their_box(request: pytest.FixtureRequest, kind: str, view: type[BoxView]) -> None:
    made, x = request.getfixturevalue(kind), pictures(2)
    with torch.no_grad():
        expected = made.box_scores(made.features(x), BOXES)
        for at, box in enumerate(BOXES.tolist()):
            assert torch.allclose(view(made, tuple(box))(x), expected[:, at], rtol=1e-4, atol=1e-4)


def test_pyramid_view_looks_at_the_map_that_its_box_is_pooled_from(resnet: Detector) -> None:
    """No channel of another map changes the score."""
    with torch.no_grad():
        maps = list(resnet.pyramid(resnet.features(pictures(1))).values())
    net = resnet.net.roi_heads
    levels = set()
    for box in BOXES:
        leaves = [value.clone().requires_grad_() for value in maps]
        pooled = net.box_roi_pool(dict(zip("0123p", leaves, strict=True)), [box[None]], [(SIDE, SIDE)])
        gradients = torch.autograd.grad(pooled.sum(), leaves, allow_unused=True)
        used = [i for i, gradient in enumerate(gradients) if gradient is not None and bool(gradient.any())]
        assert used == [resnet.level_of(tuple(box.tolist()))]
        levels.update(used)
    assert len(levels) > 1


@pytest.mark.parametrize("box", [(10.0, 10.0, 10.0, 40.0), (10.0, 40.0, 30.0, 20.0), (0.0, 0.0, float("nan"), 9.0)])
def test_view_of_a_box_without_area_is_a_usage_error(mobile: Detector, box: tuple[float, float, float, float]) -> None:
    with pytest.raises(UsageError, match="wanted: x0 < x1 and y0 < y1"):
        BoxView(mobile, box)


def test_last_layer_names_the_finding() -> None:
    made = detector_of()
    with torch.no_grad():
        done = made.features(pictures(1))
        scores, boxes = made.box_scores(done, BOXES), made.net.roi_heads.box_predictor.bbox_pred.weight.clone()
        for parameter in BoxView(made, (1.0, 1.0, 9.0, 9.0)).last_layer().parameters():
            parameter.add_(torch.randn(parameter.shape))
        assert float((made.box_scores(done, BOXES) - scores).abs().max()) > 0.1
    assert torch.equal(made.net.roi_heads.box_predictor.bbox_pred.weight, boxes)
