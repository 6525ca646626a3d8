"""The split classifiers are the networks of torchvision and timm, cut at the layer that explanations use."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision.models as tv
from factory import images, model_of
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from core.engine.explain import explain
from core.engine.networks.classifiers import CLASSIFIERS, Classifier, build_classifier
from core.engine.networks.pair import PairNetwork
from core.engine.runner import run
from core.errors import UsageError
from core.tasks.hip_osteoporosis.network import ARCHITECTURES, Network, scores

# parameters with one logit, and the target layer: channels, side for an input of SIDES pixels
MILLIONS = {
    **{"resnet18": 11.177, "resnet34": 21.285, "googlenet": 5.601, "densenet121": 6.955, "vgg16": 134.265},
    **{"xception": 20.809, "inception_v3": 21.788, "efficientnet_b0": 4.009, "vit_b_16": 85.799},
}
TARGETS = {
    **{"resnet18": (512, 3), "resnet34": (512, 3), "googlenet": (1024, 3), "densenet121": (1024, 3), "vgg16": (512, 3)},
    **{"xception": (2048, 3), "inception_v3": (2048, 3), "efficientnet_b0": (1280, 3), "vit_b_16": (768, 6)},
}
SIDES = {name: 160 if name == "inception_v3" else 96 for name in MILLIONS}
WITHOUT_VGG = [name for name in CLASSIFIERS if name != "vgg16"]  # its 134 million gradients take seconds


def n_parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def library_network(name: str, **options: Any) -> nn.Module:
    if name == "xception":
        return timm.create_model("legacy_xception", **options)
    if name in ("googlenet", "inception_v3"):
        options |= {"init_weights": False}
    return getattr(tv, name)(**options)


def library_twin(name: str, branch: Classifier) -> nn.Module:
    """The library's own network around the same tensors; loading is strict, so the state names agree."""
    options: dict[str, Any] = {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    options |= {"image_size": SIDES[name]} if name == "vit_b_16" else {}
    with torch.device("meta"):
        twin = library_network(name, num_classes=3, **options)
    state = {key.removeprefix("net."): value for key, value in branch.state_dict().items()}
    twin.load_state_dict(state, strict=True, assign=True)
    return twin.eval()


# --- every classifier as the single branch of a pair network -----------------------------------------------------------


@dataclass(frozen=True)
class Named:
    name: str
    network: PairNetwork

    @property
    def branch(self) -> Classifier:
        branch = self.network.branches["t"]
        assert isinstance(branch, Classifier)
        return branch

    def x(self, n: int, seed: int = 1) -> Tensor:
        return torch.from_numpy(images(n, SIDES[self.name], seed=seed))


@pytest.fixture(scope="module", params=CLASSIFIERS)
def named(request: pytest.FixtureRequest) -> Named:
    """Random, frozen; the batch norms have seen one batch: without, GoogLeNet gives the same output for every input."""
    torch.manual_seed(3)
    network = PairNetwork(3, architecture=request.param, branches="t", size=SIDES[request.param])
    made = Named(request.param, network.requires_grad_(False))
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    made.branch(made.x(8, seed=2))
    for norm in norms:
        norm.momentum = 0.0
    network.eval()
    return made


def test_same_output_as_the_library_and_as_both_halves(named: Named) -> None:
    x = named.x(2)
    with torch.no_grad():
        whole = named.branch(x)
        activations = named.branch.features(x)
        halves = named.branch.head(activations)
        plain = library_twin(named.name, named.branch)(x)
        of_pair = named.network(torch.cat([torch.zeros_like(x), x], dim=1))
    channels, side = TARGETS[named.name]
    assert whole.shape == (2, 3)
    assert activations.target.shape == (2, channels, side, side)
    assert torch.equal(whole, halves)
    assert torch.equal(of_pair, whole[:, None])
    torch.testing.assert_close(whole, plain, rtol=1e-4, atol=1e-5)
    assert float((whole[0] - whole[1]).abs().max()) > 1e-4


def test_head_leaves_its_input_as_it_was_and_gives_gradients(named: Named) -> None:
    with torch.no_grad():
        activations = named.branch.features(named.x(1))
    before = [tensor.clone() for tensor in (activations.target, *activations.rest)]
    leaf = activations.target.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(named.branch.head(replace(activations, target=leaf))[0, 0], leaf)
    named.branch.train().head(replace(activations, target=leaf))  # dropout
    named.branch.eval()
    for tensor, kept in zip((leaf.detach(), *activations.rest), before, strict=True):
        assert torch.equal(tensor, kept)
    assert gradient.shape == leaf.shape
    assert float(gradient.abs().max()) > 0


@pytest.mark.parametrize("named", WITHOUT_VGG, indirect=True)
def test_training_loss_reaches_every_parameter(named: Named) -> None:
    network = named.network
    x = named.x(2, seed=5)
    losses = network.requires_grad_(True).train().loss(torch.cat([x, x], dim=1), torch.tensor([0, 2]))
    losses["loss"].backward()
    silent = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    reached = float(next(network.parameters()).grad.abs().max())
    network.zero_grad(set_to_none=True)
    network.requires_grad_(False).eval()
    assert silent == []
    assert reached > 0
    assert float(losses["loss"].detach()) == float(losses["loss_t"].detach()) > 0


def test_grad_cam_of_a_single_branch_is_finite(named: Named) -> None:
    x = named.x(1)
    model = model_of(named.network)
    done = run(model, torch.cat([x, x], dim=1).numpy())
    found = explain(model, done, 0, "grad_cam", lambda output: output[0, 1])
    assert found.values.shape == x.shape[-2:]
    assert 0 <= found.values.min() <= found.values.max() <= 1
    assert abs(found.raw_max) > 0


def test_last_layer_gives_the_logits(named: Named) -> None:
    layer = named.network.last_layer()
    before = layer.bias.detach().clone()
    x = named.x(1)
    first = named.branch(x)
    layer.bias += 5
    moved = named.branch(x) - first
    layer.bias.copy_(before)
    assert moved[0].tolist() == pytest.approx([5, 5, 5], abs=1e-4)


def test_offered_architectures() -> None:
    assert sorted(CLASSIFIERS) == sorted(MILLIONS)
    assert sorted(ARCHITECTURES) == ["densenet121", "googlenet", "resnet18", "resnet34", "vgg16"]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_number_of_parameters(name: str) -> None:
    with torch.device("meta"):
        one = n_parameters(build_classifier(name, 1))
        three = n_parameters(PairNetwork(3, architecture=name, branches="s"))
    inputs = 4096 if name == "vgg16" else TARGETS[name][0]
    assert one / 1e6 == pytest.approx(MILLIONS[name], abs=0.0006)
    assert three == one + 2 * (inputs + 1)


@pytest.mark.parametrize("name", ["xception", "inception_v3", "efficientnet_b0"])
def test_pair_has_two_branches_a_fused_head_and_alpha(name: str) -> None:
    with torch.device("meta"):
        pair = PairNetwork(3, architecture=name, size=SIDES[name])
        branch = n_parameters(build_classifier(name, 3))
        output = pair(torch.zeros(1, 6, SIDES[name], SIDES[name]))
    assert n_parameters(pair) == 2 * branch + 3 * (TARGETS[name][0] + 1) + 1
    assert output.shape == (1, 3, 3)


# --- ViT-B/16: class token, position embeddings ------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["vit_b_16"], indirect=True)
def test_target_of_vit_is_the_last_blocks_input_as_a_map(named: Named) -> None:
    twin = library_twin("vit_b_16", named.branch)
    seen: list[Tensor] = []
    twin.encoder.layers[-1].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    x = named.x(1)
    twin(x)
    activations = named.branch.features(x)
    row, column, side = 2, 4, 6
    token = seen[0][0, 1 + row * side + column]
    assert activations.target[0, :, row, column].tolist() == pytest.approx(token.tolist(), abs=1e-4)
    assert activations.rest[0][0, 0].tolist() == pytest.approx(seen[0][0, 0].tolist(), abs=1e-4)


@pytest.mark.parametrize("named", ["vit_b_16"], indirect=True)
def test_vit_refuses_another_input_size(named: Named) -> None:
    with pytest.raises(UsageError, match=r"112 x 96 pixels.* 96 x 96"):
        named.network(torch.zeros(1, 6, 112, 96))


def test_vit_refuses_a_size_that_is_no_multiple_of_its_patches() -> None:
    with pytest.raises(UsageError, match=r"100 pixels.*multiple of 16"):
        build_classifier("vit_b_16", 3, size=100)


@pytest.mark.parametrize("branches", ["st", "ss", "tt"])
def test_vit_refuses_a_pair(branches: str) -> None:
    with pytest.raises(UsageError, match="pair of vit_b_16"):
        PairNetwork(3, architecture="vit_b_16", branches=branches)


# --- ImageNet weights, with a state made here in place of the download ---------------------------------------------------


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """What torchvision gets instead of a download."""
    state: dict[str, Tensor] = {}
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: state)
    return state


@pytest.mark.parametrize("name", ["googlenet", "inception_v3", "efficientnet_b0"])
def test_pretrained_is_the_published_state_but_for_the_last_layer(name: str, published: dict[str, Tensor]) -> None:
    published.update(library_network(name).state_dict())
    network = build_classifier(name, 3, pretrained=True)
    state = {key.removeprefix("net."): value for key, value in network.state_dict().items()}
    with torch.device("meta"):
        fresh = build_classifier(name, 3)
    last = {"efficientnet_b0": "classifier.1"}.get(name, "fc")
    assert list(network.state_dict()) == list(fresh.state_dict())  # no auxiliary classifier
    assert [key for key in state if not torch.equal(state[key], published[key])] == [f"{last}.weight", f"{last}.bias"]
    assert not getattr(network.net, "transform_input", False)  # would not be in the state


def test_pretrained_xception_is_timms(tmp_path: Path) -> None:
    published = library_network("xception").state_dict()
    before = torch.hub.get_dir()
    file = tmp_path / "checkpoints" / "xception-43020ad28.pth"
    file.parent.mkdir()
    torch.save(published, file)
    torch.hub.set_dir(tmp_path)
    try:
        network = build_classifier("xception", 3, pretrained=True)
    finally:
        torch.hub.set_dir(before)
        file.unlink()  # 83 MB
    state = {key.removeprefix("net."): value for key, value in network.state_dict().items()}
    assert [key for key in state if not torch.equal(state[key], published[key])] == ["fc.weight", "fc.bias"]


def test_pretrained_vit_interpolates_the_position_embeddings(published: dict[str, Tensor]) -> None:
    published.update(tv.vit_b_16().state_dict())
    rows = torch.linspace(0, 1, 14)[:, None].expand(14, 14)  # a ramp stays a ramp, whatever the grid
    ramp = rows.reshape(1, 196, 1).expand(1, 196, 768)
    published["encoder.pos_embedding"] = torch.cat([torch.full((1, 1, 768), 7.0), ramp], dim=1)
    state = build_classifier("vit_b_16", 3, pretrained=True, size=160).state_dict()
    positions = state["net.encoder.pos_embedding"]
    assert positions.shape == (1, 101, 768)
    assert bool((positions[0, 0] == 7).all())
    grid = positions[0, 1:, 5].reshape(10, 10)
    assert grid[:, 3].tolist() == pytest.approx(torch.linspace(0, 1, 10).tolist(), abs=0.02)
    assert float((grid - grid[:, :1]).abs().max()) < 1e-5
    weight = "encoder.layers.encoder_layer_3.mlp.0.weight"
    assert torch.equal(state[f"net.{weight}"], published[weight])


# --- the hip network: one logit --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_hip_network_is_the_classifier_with_one_logit(name: str) -> None:
    with torch.device("meta"):
        network, classifier = Network(name), build_classifier(name, 1)
    expected = {f"classifier.{key}": value.shape for key, value in classifier.state_dict().items()}
    assert {key: value.shape for key, value in network.state_dict().items()} == expected
    assert network.last_layer().out_features == 1


def test_hip_network_refuses_what_its_task_does_not_offer() -> None:
    with pytest.raises(UsageError, match=r"xception.*resnet18"):
        Network("xception")


def test_hip_loss_is_binary_cross_entropy_of_the_logit() -> None:
    torch.manual_seed(4)
    network = Network("resnet18")
    network.train()(torch.from_numpy(images(8, 96)))
    x, targets = torch.from_numpy(images(2, 96, seed=1)), torch.tensor([1.0, 0.0])
    with torch.no_grad():
        output = network.eval()(x)
        loss = network.loss(x, targets)["loss"]
    p = scores(output).double()
    expected = -(torch.log(p[0]) + torch.log(1 - p[1])) / 2
    assert output.shape == (2, 1)
    assert float(loss) == pytest.approx(float(expected), rel=1e-4)
