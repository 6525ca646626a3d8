"""Every segmentation network is its library's or its paper's, split behind the encoder, for any size and any batch."""

from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import timm.models._builder as timm_builder
import torch
import torchvision.models as tv
from factory import images, make_manifest, model_of, tensor_facts
from safetensors.torch import save
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from core.engine.explain import explain
from core.engine.loader import load_model
from core.engine.networks.segmenters import SEGMENTERS, _PooledNorm, build_segmenter
from core.engine.networks.segnet import SegNet
from core.engine.networks.split import Activations, SplitNetwork
from core.engine.runner import run
from core.errors import UsageError
from core.manifest import dump_manifest

H, W = 47, 65  # odd at every scale: 47, 23, 11, 5, 2
OWN = ("unet_small", "unet")
PLUS = ("deeplabv3plus_resnet50", "deeplabv3plus_xception", "deeplabv3plus_drn")
# library networks, and what the sides of their input must be a multiple of
LIBRARY = {"unet_resnet18": 32, "fcn_resnet101": 1, "deeplabv3": 1, PLUS[0]: 16, PLUS[1]: 16, PLUS[2]: 8}


def n_parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@lru_cache
def on_meta(name: str, n_outputs: int) -> SplitNetwork:
    with torch.device("meta"):
        return build_segmenter(name, n_outputs)


def library_twin(name: str) -> nn.Module:
    """The library's own network, without values."""
    rates = {"decoder_atrous_rates": (6, 12, 18)}
    with torch.device("meta"):
        match name:
            case "unet_resnet18":
                return smp.Unet("resnet18", encoder_weights=None, classes=3)
            case "fcn_resnet101":
                return tv.segmentation.fcn_resnet101(weights_backbone=None, num_classes=3)
            case "deeplabv3":
                return tv.segmentation.deeplabv3_resnet50(weights_backbone=None, num_classes=3)
            case "deeplabv3plus_resnet50":
                return smp.DeepLabV3Plus("resnet50", encoder_weights=None, classes=3, **rates)
            case "deeplabv3plus_xception":
                return smp.DeepLabV3Plus("tu-xception41", encoder_weights=None, classes=3, **rates)
        assert name == "deeplabv3plus_drn"
        return smp.DeepLabV3Plus("resnet50", encoder_weights=None, encoder_output_stride=8, classes=3)


@dataclass(frozen=True)
class Named:
    name: str
    network: SplitNetwork

    def x(self, n: int, seed: int = 1) -> Tensor:
        return torch.from_numpy(images(n, 65, seed=seed))[:, :, :H]


@pytest.fixture(scope="module", params=SEGMENTERS)
def named(request: pytest.FixtureRequest) -> Named:
    """Random, frozen; the batch norms have seen one batch, so that outputs differ from image to image."""
    torch.manual_seed(3)
    made = Named(request.param, build_segmenter(request.param, 3).requires_grad_(False))
    norms = [module for module in made.network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    made.network(torch.from_numpy(images(2, 64, seed=2)))
    for norm in norms:
        norm.momentum = 0.1
    made.network.eval()
    return made


# --- all of them -----------------------------------------------------------------------------------------------------


def test_forward_is_both_halves_and_repeatable_for_an_odd_size(named: Named) -> None:
    x = named.x(2)
    with torch.no_grad():
        whole = named.network(x)
        activations = named.network.features(x)
        halves = named.network.head(activations)
    assert whole.shape == (2, 3, H, W)
    assert torch.equal(whole, halves)
    assert activations.context == (H, W)
    assert float((whole[0] - whole[1]).abs().max()) > 1e-3
    assert float(whole[0].flatten(1).std(dim=1).min()) > 1e-3  # not one value for the whole image


def test_head_is_pure_and_gives_gradients(named: Named) -> None:
    with torch.no_grad():
        activations = named.network.features(named.x(1))
    before = [tensor.clone() for tensor in (activations.target, *activations.rest)]
    leaf = activations.target.clone().requires_grad_()
    first = named.network.head(replace(activations, target=leaf))
    (gradient,) = torch.autograd.grad(first[0, 1].mean(), leaf)
    with torch.no_grad():
        named.network.train()
        named.network.head(activations)  # dropout
        named.network.eval()
    for tensor, kept in zip((activations.target, *activations.rest), before, strict=True):
        assert torch.equal(tensor, kept)
    assert torch.equal(leaf.detach(), before[0])
    assert gradient.shape == leaf.shape
    assert float(gradient.abs().max()) > 0


def test_head_takes_activations_expanded_to_more_rows(named: Named) -> None:
    with torch.no_grad():
        one = named.network.features(named.x(1))
        rows = one.target.expand(3, -1, -1, -1).clone()
        rows[1] = 0
        rest = tuple(tensor.expand(3, *tensor.shape[1:]) for tensor in one.rest)
        several = named.network.head(Activations(rows, rest, one.context))
        single = named.network.head(one)
    torch.testing.assert_close(several[[0, 2]], single.expand(2, -1, -1, -1), rtol=1e-3, atol=1e-4)
    assert float((several[1] - single[0]).abs().max()) > 1e-3


def test_every_tensor_beside_the_target_matters(named: Named) -> None:
    with torch.no_grad():
        activations = named.network.features(named.x(2))
        output = named.network.head(activations)
        for index, tensor in enumerate(activations.rest):
            swapped = list(activations.rest)
            swapped[index] = tensor.flip(0)  # the other image's
            other = named.network.head(replace(activations, rest=tuple(swapped)))
            assert float((other - output).abs().max()) > 1e-4, index


def test_last_layer_gives_the_logits(named: Named) -> None:
    layer: Any = named.network.last_layer()
    x = named.x(1)
    first = named.network(x)
    layer.bias += 5
    moved = named.network(x) - first
    layer.bias -= 5
    assert float((moved - 5).abs().max()) < 1e-4


def test_grad_cam_of_a_pixel_is_finite(named: Named) -> None:
    done = run(model_of(named.network), named.x(1).numpy())
    found = explain(model_of(named.network), done, 0, "grad_cam", lambda output: output[1].mean())
    assert found.values.shape == (H, W)
    assert 0 <= found.values.min() <= found.values.max() <= 1 + 1e-6
    assert abs(found.raw_max) > 0


@pytest.mark.parametrize("named", LIBRARY, indirect=True)
def test_same_output_as_the_library_on_an_image_whose_border_is_repeated(named: Named) -> None:
    """Strict loading: the state names are the library's."""
    twin = library_twin(named.name)
    state = {key.removeprefix("net."): value for key, value in named.network.state_dict().items()}
    twin.load_state_dict(state, strict=True, assign=True)
    x = named.x(1)
    stride = LIBRARY[named.name]
    border = [(0, 0), (0, 0), (0, -H % stride), (0, -W % stride)]
    with torch.no_grad():
        expected = twin.eval()(torch.from_numpy(np.pad(x.numpy(), border, mode="edge")))
        output = named.network(x)
    maps = expected if isinstance(expected, Tensor) else expected["out"]
    torch.testing.assert_close(output, maps[..., :H, :W], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("batch", "side"), [(1, 64), (2, 32)])
def test_one_training_step_reaches_every_parameter(named: Named, batch: int, side: int) -> None:
    network = deepcopy(named.network).requires_grad_(True).train()
    x = torch.from_numpy(images(batch, side, seed=5))
    truth = (x[:, 0] > 0).long()
    loss = nn.functional.cross_entropy(network(x), truth)
    loss.backward()
    silent = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    first = next(network.parameters())
    before = first.detach().clone()
    torch.optim.SGD(network.parameters(), lr=0.01).step()
    moved = float((first.detach() - before).abs().max())
    assert silent == []
    assert moved > 0
    assert all(bool(value.isfinite().all()) for value in network.state_dict().values())


# --- sizes and numbers of parameters ---------------------------------------------------------------------------------


def norm(channels: int) -> int:
    return 2 * channels


def unet_by_hand(n_outputs: int) -> int:
    """Table of the paper's figure 1; no bias before a batch norm."""
    total = 0
    for n_in, n_out in [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1024)]:  # down
        total += 9 * n_in * n_out + norm(n_out) + 9 * n_out * n_out + norm(n_out)
    for n_in, n_out in [(1024, 512), (512, 256), (256, 128), (128, 64)]:  # up, concatenated with as many channels
        total += 4 * n_in * n_out + n_out
        total += 9 * n_in * n_out + norm(n_out) + 9 * n_out * n_out + norm(n_out)
    return total + 64 * n_outputs + n_outputs


def segnet_by_hand(n_outputs: int) -> int:
    """13 convolutions of VGG16 with bias, 12 mirrored ones without, each with batch norm; a last one."""
    vgg = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    mirrored = vgg[:0:-1]  # 512, ..., 64
    total = sum(9 * n_in * n_out + n_out + norm(n_out) for n_in, n_out in pairwise(vgg))
    total += sum(9 * n_in * n_out + norm(n_out) for n_in, n_out in pairwise(mirrored))
    return total + 9 * 64 * n_outputs + n_outputs


# with three outputs; torchvision and smp as measured on the libraries (METHODS B3)
MILLIONS = {
    **{
        "unet_small": 2.616,
        "unet": 31.038,
        "unet_resnet18": 14.328,
        "fcn_resnet101": 51.940,
        "segnet": 29.441,
        "deeplabv3": 39.634,
    },
    **{PLUS[0]: 26.678, PLUS[1]: 28.091, PLUS[2]: 26.678},
}
# what each further output costs: weights and a bias of the last layer
LAST = {
    "unet_small": 4 * 17,
    "unet": 65,
    "unet_resnet18": 16 * 9 + 1,
    "fcn_resnet101": 513,
    "segnet": 64 * 9 + 1,
    "deeplabv3": 257,
}
TARGETS = {  # for 64 x 64 pixels
    **{
        "unet_small": (192, 2),
        "unet": (1024, 4),
        "unet_resnet18": (512, 2),
        "fcn_resnet101": (2048, 8),
        "segnet": (512, 2),
    },
    **{"deeplabv3": (2048, 8), PLUS[0]: (2048, 4), PLUS[1]: (2048, 4), PLUS[2]: (2048, 8)},
}


def test_offered_names() -> None:
    assert sorted(SEGMENTERS) == sorted(MILLIONS)


@pytest.mark.parametrize("name", SEGMENTERS)
def test_number_of_parameters(name: str) -> None:
    three = n_parameters(on_meta(name, 3))
    assert three / 1e6 == pytest.approx(MILLIONS[name], abs=0.0006)
    assert three - n_parameters(on_meta(name, 1)) == 2 * LAST.get(name, 257)


def test_number_of_parameters_counted_by_hand() -> None:
    assert n_parameters(on_meta("unet", 2)) == unet_by_hand(2)
    assert n_parameters(on_meta("segnet", 2)) == segnet_by_hand(2)


@pytest.mark.parametrize("name", SEGMENTERS)
def test_shapes(name: str) -> None:
    network = on_meta(name, 3).eval()
    channels, side = TARGETS[name]
    for size in ((64, 64), (97, 81), (32, 70)):
        activations = network.features(torch.zeros(3, 3, *size, device="meta"))
        assert network.head(activations).shape == (3, 3, *size)
        assert activations.target.shape[:2] == (3, channels)
        assert all(len(tensor) == 3 for tensor in activations.rest)
        if size == (64, 64):
            assert activations.target.shape[2:] == (side, side)


# --- SegNet ----------------------------------------------------------------------------------------------------------


def test_segnet_puts_each_maximum_back_where_it_was() -> None:
    with torch.device("meta"):
        network = SegNet(1)
    network.encoder = nn.Sequential(*(nn.MaxPool2d(2) for _ in range(5)))
    network.decoder = nn.ModuleList(nn.Identity() for _ in range(5))
    network.last = nn.Identity()
    x = np.random.default_rng(0).random((2, 1, 70, 45), np.float32) + 1
    expected = np.zeros_like(x)
    for n in range(2):
        for top in (0, 32):  # what is left over on the right and below belongs to no window
            block = x[n, 0, top : top + 32, :32]
            row, column = np.unravel_index(block.argmax(), block.shape)
            expected[n, 0, top + row, column] = block.max()
    activations = network.features(torch.from_numpy(x))
    assert np.array_equal(network.head(activations).numpy(), expected)


@pytest.mark.parametrize("named", ["segnet"], indirect=True)
def test_encoder_of_segnet_is_the_librarys_vgg(named: Named) -> None:
    with torch.device("meta"):
        vgg = tv.vgg16_bn().features
    vgg.load_state_dict(named.network.encoder.state_dict(), strict=True, assign=True)
    x = named.x(1)
    with torch.no_grad():
        torch.testing.assert_close(named.network.features(x).target, vgg.eval()(x), rtol=1e-4, atol=1e-5)


def test_pretrained_segnet_starts_from_the_published_vgg(monkeypatch: pytest.MonkeyPatch) -> None:
    published = {f"features.{key}": value + 0.5 for key, value in SegNet(1).encoder.state_dict().items()}
    published["classifier.0.weight"] = torch.zeros(1)
    asked: list[str] = []
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda self, **_: asked.append(self.url) or published)
    encoder = build_segmenter("segnet", 1, pretrained=True).encoder.state_dict()
    assert all(
        torch.equal(encoder[key], published[f"features.{key}"].to(value.dtype)) for key, value in encoder.items()
    )
    assert len(asked) == 1
    assert "vgg16_bn" in asked[0]


# --- a batch of one in DeepLab's pooling branch ------------------------------------------------------------------------


def test_norm_of_a_pooled_image() -> None:
    torch.manual_seed(0)
    mended, plain = _PooledNorm(4), nn.BatchNorm2d(4)
    with torch.no_grad():
        mended.weight.uniform_(), mended.running_mean.normal_(), mended.running_var.uniform_(0.5, 2)
    plain.load_state_dict(mended.state_dict(), strict=True)
    several, one = torch.randn(3, 4, 1, 1), torch.randn(1, 4, 1, 1)
    assert torch.equal(mended(several), plain(several))
    kept = {key: value.clone() for key, value in mended.state_dict().items()}
    output = mended(one)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        plain(one)
    assert torch.equal(output, plain.eval()(one))
    assert torch.equal(mended.eval()(one), output)
    assert all(torch.equal(value, kept[key]) for key, value in mended.state_dict().items())


# --- weights from elsewhere ------------------------------------------------------------------------------------------


class AskedError(Exception):
    """A network asked for published weights."""


@pytest.mark.parametrize("name", [name for name in SEGMENTERS if name not in OWN])
def test_nothing_is_downloaded_unless_asked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AskedError

    monkeypatch.setattr(WeightsEnum, "get_state_dict", refuse)
    monkeypatch.setattr(smp.encoders, "hf_hub_download", refuse)
    monkeypatch.setattr(timm_builder, "load_pretrained", refuse)
    with torch.device("meta"):
        build_segmenter(name, 2)
    with torch.device("meta"), pytest.raises(AskedError):
        build_segmenter(name, 2, pretrained=True)


@pytest.mark.parametrize("name", OWN)
def test_networks_of_ours_have_no_published_weights(name: str) -> None:
    with pytest.raises(UsageError, match=f"for {name}, .*unet_resnet18"):
        build_segmenter(name, 2, pretrained=True)


@pytest.mark.parametrize("name", ["unet_small", "unet_resnet18", "fcn_resnet101", "segnet", "deeplabv3plus_xception"])
def test_two_pictures_start_as_their_mean(name: str) -> None:
    """Colours of one picture, then of the other, in this order."""
    torch.manual_seed(5)
    one, two = (torch.from_numpy(images(1, 64, seed=seed)) for seed in (3, 4))
    both = build_segmenter(name, 2, n_inputs=6).eval()
    torch.manual_seed(5)
    single = build_segmenter(name, 2).eval()
    with torch.no_grad():
        torch.testing.assert_close(both(torch.cat([one, two], dim=1)), single((one + two) / 2), rtol=0.02, atol=3e-3)


@pytest.mark.parametrize("n_inputs", [0, 2, 4, -3])
def test_input_channels_are_whole_pictures(n_inputs: int) -> None:
    with pytest.raises(UsageError, match="multiple of 3"):
        build_segmenter("unet", 2, n_inputs=n_inputs)


def test_unknown_name() -> None:
    with pytest.raises(UsageError, match=r"'pspnet'; known: unet_small, unet, unet_resnet18"):
        build_segmenter("pspnet", 2)


@pytest.mark.parametrize("named", ["unet_resnet18"], indirect=True)
def test_loader_rebuilds_the_network(named: Named, tmp_path: Path) -> None:
    content = save(named.network.state_dict())
    (tmp_path / "model.safetensors").write_bytes(content)
    manifest = make_manifest(weights=tensor_facts(content, n_parameters(named.network)))
    (tmp_path / "manifest.json").write_text(dump_manifest(manifest), encoding="utf-8")
    model = load_model(tmp_path, lambda _: build_segmenter("unet_resnet18", 3), torch.device("cpu"))
    x = named.x(1)
    torch.testing.assert_close(model.network(x), named.network(x), rtol=1e-4, atol=1e-4)
