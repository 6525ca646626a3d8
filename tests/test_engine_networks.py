"""The split classifiers are torchvision's networks, cut behind the last convolution."""

import pytest
import torch
import torchvision.models as tv
from torch import nn

from core.engine.networks.split import Activations
from core.tasks.hip_osteoporosis.network import ARCHITECTURES, Network, scores

PREFIX = "classifier.net."
MILLIONS = {"resnet18": 11.177, "resnet34": 21.285, "googlenet": 5.601, "densenet121": 6.955, "vgg16": 134.265}
LAST_CHANNELS = {"resnet18": 512, "resnet34": 512, "googlenet": 1024, "densenet121": 1024, "vgg16": 512}


def torchvision_twin(name: str, network: Network) -> nn.Module:
    """The plain network around the same tensors; loading is strict, so the state names agree."""
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    with torch.device("meta"):
        twin = getattr(tv, name)(num_classes=1, **options)
    state = {key.removeprefix(PREFIX): value for key, value in network.state_dict().items()}
    twin.load_state_dict(state, strict=True, assign=True)
    return twin.eval()


@pytest.fixture(scope="module", params=ARCHITECTURES)
def named(request: pytest.FixtureRequest) -> tuple[str, Network]:
    """A random network whose batch norms have seen one batch: without, GoogLeNet gives the same output for every input."""
    torch.manual_seed(3)
    network = Network(request.param)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(torch.randn(8, 3, 96, 96))
    return request.param, network.eval()


def test_offered_architectures() -> None:
    assert sorted(ARCHITECTURES) == sorted(MILLIONS)


def test_number_of_parameters_with_one_logit(named: tuple[str, Network]) -> None:
    name, network = named
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(MILLIONS[name], abs=0.0006)


def test_state_names_are_torchvisions_after_the_prefix(named: tuple[str, Network]) -> None:
    _, network = named
    assert all(key.startswith(PREFIX) for key in network.state_dict())


def test_same_output_as_torchvision_and_as_both_halves(named: tuple[str, Network]) -> None:
    name, network = named
    x = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = network(x)
        activations = network.features(x)
        halves = network.head(activations)
        plain = torchvision_twin(name, network)(x)
    assert whole.shape == (2, 1)
    assert activations.target.shape == (2, LAST_CHANNELS[name], 3, 3)
    assert torch.equal(whole, halves)
    torch.testing.assert_close(whole, plain, rtol=1e-5, atol=1e-6)
    assert abs(float(whole[0] - whole[1])) > 1e-4


def test_head_leaves_its_input_as_it_was_and_gives_gradients(named: tuple[str, Network]) -> None:
    _, network = named
    with torch.no_grad():
        target = network.features(torch.randn(1, 3, 96, 96)).target
    leaf = target.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network.head(Activations(leaf)).sum(), leaf)
    assert torch.equal(leaf.detach(), target)
    assert gradient.shape == target.shape
    assert float(gradient.abs().max()) > 0


def test_loss_is_binary_cross_entropy_of_the_logit(named: tuple[str, Network]) -> None:
    _, network = named
    x, targets = torch.randn(2, 3, 96, 96), torch.tensor([1.0, 0.0])
    with torch.no_grad():
        p = scores(network(x)).double()
        loss = network.loss(x, targets)["loss"]
    expected = -(torch.log(p[0]) + torch.log(1 - p[1])) / 2
    assert p.max() < 1
    assert float(loss) == pytest.approx(float(expected), rel=1e-4)


def test_last_layer_gives_the_logit(named: tuple[str, Network]) -> None:
    _, network = named
    layer = network.last_layer()
    before = layer.bias.detach().clone()
    x = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        first = float(network(x))
        layer.bias += 5
        moved = float(network(x)) - first
        layer.bias.copy_(before)
    assert moved == pytest.approx(5, abs=1e-4)
