"""Explanations on cached activations equal the methods on the whole network, leave no trace and bear threads."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torchvision.models as tv
from factory import TinyNetwork, images, model_of, tiny_network
from pytorch_grad_cam import AblationCAM, EigenCAM, GradCAM, GradCAMPlusPlus, HiResCAM
from pytorch_grad_cam.ablation_layer import AblationLayer
from pytorch_grad_cam.utils.model_targets import RawScoresOutputTarget
from torch import Tensor, nn

from core.engine import runner
from core.engine.explain import METHODS, RawMap, explain
from core.engine.loader import Model
from core.engine.networks.split import Activations, SplitNetwork
from core.engine.runner import run
from core.errors import ScreeningError, UsageError
from core.tasks.hip_osteoporosis.network import Network

GRADIENT_METHODS = {"grad_cam": GradCAM, "hires_cam": HiResCAM, "grad_cam_pp": GradCAMPlusPlus}
MAP_TOLERANCE, PROBABILITY_TOLERANCE = 1e-4, 1e-6


def score(output: Tensor) -> Tensor:
    return output[0]


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def first_map(model: Model, x: np.ndarray, method: str, target: Callable[[Tensor], Tensor] = score) -> RawMap:
    return explain(model, run(model, x), 0, method, target)


# --- against the library on the whole network ------------------------------------------------------------------------


@dataclass(frozen=True)
class Twin:
    """A frozen model, the same network as torchvision has it, and the layer that both look at."""

    model: Model
    plain: nn.Module
    layer: nn.Module


def make_twin(name: str, layer: Callable[[nn.Module], nn.Module]) -> Twin:
    torch.manual_seed(5)
    network = Network(name)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(torch.from_numpy(images(8, 96, seed=9)))
        network.last_layer().bias.fill_(3.0)  # Ablation-CAM of the library divides by the score
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    plain = getattr(tv, name)(num_classes=1, **options).eval()
    plain.load_state_dict({key.removeprefix("classifier.net."): value for key, value in network.state_dict().items()})
    return Twin(model_of(network), plain, layer(plain))


@pytest.fixture(scope="module")
def resnet18() -> Twin:
    return make_twin("resnet18", lambda net: net.layer4[-1])


@pytest.fixture(scope="module")
def vgg16() -> Twin:
    """Its head is not linear, so that the gradient differs from place to place."""
    return make_twin("vgg16", lambda net: net.features[-1])


@pytest.mark.parametrize("method", GRADIENT_METHODS)
@pytest.mark.parametrize("name", ["resnet18", "vgg16"])
def test_gradient_method_equals_the_library_on_the_whole_network(
    request: pytest.FixtureRequest, name: str, method: str
) -> None:
    twin, x = request.getfixturevalue(name), images(1, 224 if name == "resnet18" else 160, seed=1)
    sign = 1 if name == "resnet18" else -1  # for this image the random VGG16 has evidence against, not for

    def target(output: Tensor) -> Tensor:
        return sign * output[0]

    cam = GRADIENT_METHODS[method](twin.plain, [twin.layer])
    expected = cam(torch.from_numpy(x), [target])[0]
    ours = first_map(twin.model, x, method, target)
    assert ours.raw_max > 0
    assert ours.values.shape == x.shape[2:]
    assert np.ptp(expected) > 0.5
    assert correlation(ours.values, expected) >= 0.999


def test_eigen_cam_equals_the_library_up_to_sign(resnet18: Twin) -> None:
    x = images(1, 224, seed=1)

    class Negated(EigenCAM):
        def get_cam_image(self, *arguments: object) -> np.ndarray:
            return -super().get_cam_image(*arguments)

    candidates = [kind(resnet18.plain, [resnet18.layer])(torch.from_numpy(x), None)[0] for kind in (EigenCAM, Negated)]
    ours = first_map(resnet18.model, x, "eigen_cam").values
    assert max(correlation(ours, candidate) for candidate in candidates) >= 0.999


@pytest.mark.parametrize("sign", [1, -1])
def test_eigen_cam_is_bright_where_the_layer_is_active(sign: int) -> None:
    """Whichever sign the singular vectors have."""

    class Patch(SplitNetwork):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 4, 1)
            self.layer.weight.data = sign * torch.ones(4, 3, 1, 1)
            self.layer.bias.data = torch.zeros(4)

        def features(self, x: Tensor) -> Activations:
            return Activations(torch.relu(self.layer(x)))

        def head(self, activations: Activations) -> Tensor:
            return activations.target.mean(dim=(1, 2, 3))[:, None]

    x = np.zeros((1, 3, 32, 32), np.float32)
    x[:, :, 8:16, 20:28] = sign
    values = first_map(model_of(Patch()), x, "eigen_cam").values
    assert values[8:16, 20:28].min() > 0.9
    assert values[20:, :16].max() < 0.1


def test_ablation_cam_equals_the_library_on_the_whole_network(resnet18: Twin) -> None:
    x = images(1, 96, seed=1)
    done = run(resnet18.model, x)
    assert done.output[0, 0] > 0  # where the two definitions agree
    assert float(done.activations.target.min()) == 0
    expected = AblationCAM(resnet18.plain, [resnet18.layer], ablation_layer=AblationLayer(), batch_size=64)(
        torch.from_numpy(x), [RawScoresOutputTarget()]
    )[0]
    ours = explain(resnet18.model, done, 0, "ablation_cam", score)
    assert ours.raw_max > 0
    assert correlation(ours.values, expected) >= 0.99


def test_ablation_cam_is_the_relative_drop_of_the_score() -> None:
    """A plain loop over the whole small network, in batches of one."""
    network = tiny_network()
    model = model_of(network)
    done = run(model, images(1))
    maps = done.activations.target[0]
    weights = []
    for channel in range(maps.shape[0]):
        changed = maps.clone()
        changed[channel] = 0
        drop = done.output[0, 0] - float(network.last(torch.tanh(network.mix(changed[None])).mean(dim=(2, 3)))[0, 0])
        weights.append(drop / abs(done.output[0, 0]))
    signed = np.tensordot(np.array(weights), maps.numpy(), 1)
    ours = explain(model, done, 0, "ablation_cam", score)
    assert ours.raw_max == pytest.approx(signed.max(), rel=1e-3)


def test_grad_cam_is_the_mean_gradient_times_the_activations() -> None:
    """Selvaraju et al. 2017, equations 1 and 2, by autograd on an unfrozen twin."""
    twin = tiny_network().eval()
    x = images(1)
    activations = twin.features(torch.from_numpy(x))
    (gradient,) = torch.autograd.grad(twin.head(activations)[0, 0], activations.target)
    signed = (gradient[0].mean(dim=(1, 2))[:, None, None] * activations.target[0]).sum(dim=0).detach().numpy()
    ours = first_map(model_of(tiny_network()), x, "grad_cam")
    assert ours.raw_max == pytest.approx(signed.max(), rel=1e-4)
    positive = np.maximum(signed, 0) / signed.max()
    small = nn.functional.interpolate(torch.from_numpy(ours.values)[None, None], signed.shape, mode="area")[
        0, 0
    ].numpy()
    assert correlation(small, positive) > 0.97


def test_saliency_is_the_largest_gradient_over_the_channels(resnet18: Twin) -> None:
    x = images(1, 96, seed=1)
    leaf = torch.from_numpy(x).requires_grad_()
    resnet18.plain.train(False).requires_grad_(True)
    resnet18.plain(leaf)[0, 0].backward()
    resnet18.plain.zero_grad(set_to_none=True)
    expected = leaf.grad[0].abs().amax(dim=0).numpy()
    ours = first_map(resnet18.model, x, "saliency")
    assert ours.raw_max == pytest.approx(expected.max(), rel=1e-4)
    assert ours.values == pytest.approx(expected / expected.max(), abs=MAP_TOLERANCE)


def test_saliency_agrees_with_finite_differences() -> None:
    model = model_of(tiny_network())
    x = images(1)
    ours = first_map(model, x, "saliency")
    strongest = [divmod(int(at), 64) for at in np.argsort(ours.values, axis=None)[-5:]]
    for row, column in [*strongest, (3, 3), (40, 20)]:
        slopes = []
        for channel in range(3):
            step = np.zeros_like(x)
            step[0, channel, row, column] = 5e-3
            slopes.append(float(run(model, x + step).output[0, 0] - run(model, x - step).output[0, 0]) / 1e-2)
        assert ours.values[row, column] * ours.raw_max == pytest.approx(max(map(abs, slopes)), rel=0.03, abs=2e-5)


def test_other_image_of_a_batch_is_explained_by_its_index(resnet18: Twin) -> None:
    pair = images(2, 96, seed=4)
    done = run(resnet18.model, pair)
    for method in METHODS:
        alone = first_map(resnet18.model, pair[1:], method)
        assert explain(resnet18.model, done, 1, method, score).values == pytest.approx(alone.values, abs=MAP_TOLERANCE)
    assert correlation(explain(resnet18.model, done, 0, "grad_cam", score).values, alone.values) < 0.9


# --- what a map may say ----------------------------------------------------------------------------------------------


def against(channels: int) -> Model:
    """A ResNet18 in which every channel lowers the score."""
    torch.manual_seed(2)
    network = Network("resnet18")
    with torch.no_grad():
        network.last_layer().weight.fill_(-1 / channels)
        network.last_layer().bias.fill_(0.0)
    return model_of(network)


@pytest.mark.parametrize("method", ["grad_cam", "hires_cam", "grad_cam_pp", "ablation_cam"])
def test_nothing_for_the_finding_is_an_empty_map_not_a_stretched_one(method: str) -> None:
    raw = first_map(against(512), images(1, 96), method)
    assert raw.raw_max <= 0
    assert not raw.values.any()
    assert raw.values.shape == (96, 96)


@pytest.mark.parametrize("method", METHODS)
def test_map_with_evidence_lies_between_zero_and_one(method: str) -> None:
    raw = first_map(model_of(tiny_network(1)), images(1), method)
    assert raw.values.dtype == np.float32
    assert raw.values.min() >= 0
    assert 0.3 < raw.values.max() <= 1 + 1e-6
    assert raw.raw_max > 0


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"eigen_cam"}))
def test_score_that_is_not_finite_is_an_error(method: str) -> None:
    with pytest.raises(ScreeningError) as caught:
        first_map(model_of(tiny_network()), images(1), method, lambda output: output[0] * float("nan"))
    assert caught.value.code == "E_NONFINITE"


def test_unknown_method_is_a_usage_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="hires_cam") as caught:
        first_map(model_of(tiny_network()), images(1), "score_cam")
    assert "'score_cam'" in caught.value.got


# --- one shared model, many users ------------------------------------------------------------------------------------


def traces(network: nn.Module) -> list[str]:
    """Anything that a hook, a gradient or a flag would leave on a frozen network."""
    found = [f"requires_grad {name}" for name, p in network.named_parameters() if p.requires_grad]
    found += [f"gradient {name}" for name, p in network.named_parameters() if p.grad is not None]
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    for name, module in network.named_modules():
        found += [f"{kind} {name}" for kind in hooks if getattr(module, kind)]
        found += [f"training {name}"] if module.training else []
    return found


def test_traces_are_seen() -> None:
    network = TinyNetwork()
    network.mix.register_forward_hook(lambda *_: None)
    network.last.weight.grad = torch.zeros(1, 8)
    found = traces(network)
    assert {"requires_grad last.bias", "gradient last.weight", "_forward_hooks mix", "training body"} <= set(found)


def everything(model: Model, x: np.ndarray) -> tuple[float, dict[str, RawMap]]:
    """The probability and all six maps of one image."""
    done = run(model, x)
    probability = 1 / (1 + np.exp(-float(done.output[0, 0])))
    return probability, {method: explain(model, done, 0, method, score) for method in METHODS}


def test_eight_threads_on_one_model_give_what_one_thread_gives(resnet18: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    """With eight places, so that nothing but the design keeps the threads apart."""
    monkeypatch.setattr(runner, "_PLACES", threading.BoundedSemaphore(8))
    before = {name: value.clone() for name, value in resnet18.model.network.state_dict().items()}
    inputs = [images(1, 96, seed=100 + i) for i in range(8)]
    serial = [everything(resnet18.model, x) for x in inputs]
    start = threading.Barrier(8)

    def one_user(x: np.ndarray) -> list[tuple[float, dict[str, RawMap]]]:
        start.wait()
        return [everything(resnet18.model, x) for _ in range(2)]

    with ThreadPoolExecutor(8) as pool:
        rounds = list(pool.map(one_user, inputs))
    for expected, answers in zip(serial, rounds, strict=True):
        for probability, maps in answers:
            assert probability == pytest.approx(expected[0], abs=PROBABILITY_TOLERANCE)
            for method in METHODS:
                assert np.abs(maps[method].values - expected[1][method].values).max() <= MAP_TOLERANCE, method
    for method in METHODS:  # no two users could have been given the same map unnoticed
        assert np.abs(serial[0][1][method].values - serial[1][1][method].values).max() > 0.05
    assert traces(resnet18.model.network) == []
    after = resnet18.model.network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("error", [RuntimeError, IndexError, KeyboardInterrupt])
@pytest.mark.parametrize("method", sorted(set(METHODS) - {"eigen_cam"}))
def test_an_exception_in_the_middle_surfaces_and_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch, method: str, error: type[BaseException]
) -> None:
    """IndexError too, which the library's own context manager swallows."""
    monkeypatch.setattr(runner, "_PLACES", threading.BoundedSemaphore(1))
    monkeypatch.setattr(runner, "WAIT_SECONDS", 0.5)
    model, x = model_of(tiny_network()), images(1)
    expected = first_map(model, x, method)

    def broken(output: Tensor) -> Tensor:
        raise error("in the middle")

    with pytest.raises(error, match="in the middle"):
        first_map(model, x, method, broken)
    assert traces(model.network) == []
    again = first_map(model, x, method)  # its place in the queue is free again
    assert np.array_equal(again.values, expected.values)


def test_a_failing_user_does_not_disturb_the_others(resnet18: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_PLACES", threading.BoundedSemaphore(4))
    x = images(1, 96, seed=7)
    expected = first_map(resnet18.model, x, "grad_cam")

    def user(number: int) -> RawMap | str:
        def target(output: Tensor) -> Tensor:
            if number % 2:
                raise ValueError("no such class")
            return output[0]

        try:
            return first_map(resnet18.model, x, "grad_cam", target)
        except ValueError as problem:
            return str(problem)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(user, range(16)))
    assert answers[1::2] == ["no such class"] * 8
    for answer in answers[::2]:
        assert isinstance(answer, RawMap)
        assert np.abs(answer.values - expected.values).max() <= MAP_TOLERANCE
    assert traces(resnet18.model.network) == []


def test_explaining_leaves_the_run_as_it_was() -> None:
    model = model_of(tiny_network())
    done = run(model, images(2))
    target, x = done.activations.target.clone(), done.x.clone()
    for method in METHODS:
        explain(model, done, 0, method, score)
    assert torch.equal(done.activations.target, target)
    assert torch.equal(done.x, x)
    assert not done.activations.target.requires_grad
    assert done.activations.target.grad is None
    assert not done.x.requires_grad
