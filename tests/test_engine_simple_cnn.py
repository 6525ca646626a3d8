"""The small knee network: its size, its two halves, and what the reference's last ReLU does to it."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from factory import model_of
from torch import nn
from torch.nn import functional

from core.engine import runner
from core.engine.explain import explain
from core.engine.networks.simple_cnn import SimpleCNN
from core.engine.networks.split import Activations
from core.engine.runner import run
from core.errors import UsageError

N_PARAMETERS = {1: 327_877, 2: 168_741, 3: 105_445}
TARGET = {1: (16, 64, 64), 2: (32, 32, 32), 3: (64, 16, 16)}


def crops(n: int, size: int = 128, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 1, size, size), np.float32)


def network(n_layers: int = 2, *, size: int = 32, final_relu: bool = False) -> SimpleCNN:
    torch.manual_seed(n_layers)
    return SimpleCNN(n_layers, size=size, final_relu=final_relu)


@pytest.mark.parametrize("n_layers", N_PARAMETERS)
def test_number_of_parameters(n_layers: int) -> None:
    assert sum(p.numel() for p in SimpleCNN(n_layers).parameters()) == N_PARAMETERS[n_layers]


@pytest.mark.parametrize("n_layers", N_PARAMETERS)
def test_features_and_head_are_the_whole(n_layers: int) -> None:
    net = network(n_layers, size=128).eval()
    x = torch.from_numpy(crops(2))
    with torch.no_grad():
        activations = net.features(x)
        before = activations.target.clone()
        output = net.head(activations)
        assert torch.equal(net(x), output)
    assert torch.equal(activations.target, before)
    assert activations.target.shape == (2, *TARGET[n_layers])
    assert output.shape == (2, 5)


def test_same_as_the_plain_stack_of_layers() -> None:
    net = network(3).eval()
    x = torch.from_numpy(crops(2, 32))
    with torch.no_grad():
        y = x
        for block in net.blocks:
            convolution, norm = block[0], block[1]
            y = functional.conv2d(y, convolution.weight, convolution.bias, padding=1)
            y = functional.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias)
            y = functional.max_pool2d(y.clamp_min(0), 2)
        torch.testing.assert_close(net(x), y.flatten(1) @ net.linear.weight.T + net.linear.bias)


def test_no_layer_works_in_place() -> None:
    assert not any(module.inplace for module in network(3).modules() if isinstance(module, nn.ReLU))


@pytest.mark.parametrize(("options", "words"), [({"n_layers": 4}, "1, 2, 3"), ({"size": 126}, "multiple of 4")])
def test_wrong_option_is_a_usage_error(options: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        SimpleCNN(**options)


def test_loss_is_the_cross_entropy() -> None:
    net = network().eval()
    x, grades = torch.from_numpy(crops(3, 32)), torch.tensor([0.0, 4.0, 2.0])
    with torch.no_grad():
        logits = net(x).double().numpy()
        loss = float(net.loss(x, grades)["loss"])
    terms = [math.log(np.exp(row).sum()) - row[int(grade)] for row, grade in zip(logits, grades, strict=True)]
    assert loss == pytest.approx(np.mean(terms), rel=1e-5)


def trained_to_death(final_relu: bool) -> tuple[SimpleCNN, torch.Tensor]:
    """All logits below zero, as one bad step can make them, and the loss there."""
    net = network(final_relu=final_relu)
    with torch.no_grad():
        net.linear.bias.fill_(-100.0)
    loss = net.loss(torch.from_numpy(crops(4, 32)), torch.tensor([0, 1, 2, 4]))["loss"]
    loss.backward()
    return net, loss


def test_last_relu_of_the_reference_can_die() -> None:
    net, loss = trained_to_death(final_relu=True)
    assert loss.item() == pytest.approx(math.log(5))
    assert not any(p.grad.any() for p in net.parameters())
    with torch.no_grad():
        assert not net(torch.from_numpy(crops(2, 32))).any()


def test_without_it_the_same_weights_go_on_learning() -> None:
    net, _ = trained_to_death(final_relu=False)
    assert float(net.linear.weight.grad.abs().max()) > 1e-3
    assert not SimpleCNN().final_relu


def test_last_relu_only_cuts_what_is_negative() -> None:
    x = torch.from_numpy(crops(8, 32))
    with torch.no_grad():
        plain, cut = network().eval()(x), network(final_relu=True).eval()(x)
    assert torch.equal(cut, plain.clamp_min(0))
    assert float(plain.min()) < 0


def test_hires_cam_adds_up_to_the_logit() -> None:
    """The head is linear in the target layer: the map with its sign is the logit, place by place."""
    net = network(3, size=128)
    model = model_of(net)
    done = run(model, crops(1))
    weight = net.linear.weight[3].reshape(64, 16, 16)
    signed = (weight * done.activations.target[0]).sum(dim=0)
    assert float(signed.sum() + net.linear.bias[3]) == pytest.approx(float(done.output[0, 3]), abs=1e-4)
    ours = explain(model, done, 0, "hires_cam", lambda output: output[3])
    assert ours.raw_max == pytest.approx(float(signed.max()), rel=1e-4)
    assert ours.values.shape == (128, 128)


def test_head_gives_gradients_at_the_target_layer() -> None:
    net = network().eval()
    leaf = net.features(torch.from_numpy(crops(1, 32))).target.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(net.head(Activations(leaf))[0, 2], leaf)
    assert torch.equal(gradient.flatten(), net.linear.weight[2])


def test_last_layer_gives_the_logits() -> None:
    net = network().eval()
    x = torch.from_numpy(crops(1, 32))
    with torch.no_grad():
        first = net(x)
        net.last_layer().bias += 5
        assert (net(x) - first).numpy() == pytest.approx(5, abs=1e-5)


def test_two_threads_give_what_one_thread_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_PLACES", threading.BoundedSemaphore(2))
    model = model_of(network(3, size=128))
    start = threading.Barrier(2)

    def everything(x: np.ndarray) -> list[np.ndarray]:
        done = run(model, x)
        return [done.output, explain(model, done, 0, "grad_cam", lambda output: output[done.output[0].argmax()]).values]

    def one_user(x: np.ndarray) -> list[list[np.ndarray]]:
        start.wait()
        return [everything(x) for _ in range(10)]

    inputs = [crops(1, seed=1), 3 * crops(1, seed=2)]
    serial = [everything(x) for x in inputs]
    with ThreadPoolExecutor(2) as pool:
        rounds = list(pool.map(one_user, inputs))
    for expected, answers in zip(serial, rounds, strict=True):
        for answer in answers:
            for ours, one in zip(answer, expected, strict=True):
                assert np.abs(ours - one).max() <= 1e-4
    assert np.abs(serial[0][0] - serial[1][0]).max() > 1e-3
