"""The network of the retina task: two labels on top of five taught kinds, and losses that mean what their names say."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from core.errors import UsageError
from core.tasks.retina_lesions.network import CHANNELS, ENTROPY_WEIGHT, LOSSES, Network, scores
from core.tasks.retina_lesions.task import EXUDATE, FINER, HAEMORRHAGE, OUTSIDE

SIZE = 64
KINDS, WEIGHTS = list(CHANNELS), np.array(list(CHANNELS.values()))


def photographs(n: int = 2) -> tuple[Tensor, Tensor]:
    """Noise, and label maps of all kinds."""
    rng = np.random.default_rng(3)
    maps = rng.choice([0, 1, 2, 3, 4, 5, OUTSIDE], (n, SIZE, SIZE)).astype(np.uint8)
    return torch.from_numpy(rng.normal(size=(n, 6, SIZE, SIZE)).astype(np.float32)), torch.from_numpy(maps)


def network(loss: str = LOSSES[0]) -> Network:
    torch.manual_seed(4)
    return Network("unet_small", loss=loss).eval()


def fine(n: int = 2) -> Tensor:
    """Network input: noise on finer pixels than those of the answer."""
    return torch.from_numpy(np.random.default_rng(6).normal(size=(n, 6, 2 * SIZE, 2 * SIZE)).astype(np.float32))


def pooled(values: Tensor) -> Tensor:
    return functional.avg_pool2d(values, FINER)


@pytest.mark.parametrize("name", ["unet_small", "segnet"])
def test_the_last_layer_gives_the_logits_of_both_scales(name: str) -> None:
    """Explanation checks draw its weights anew: without them every pixel has the bias of its kind."""
    net = Network(name).eval()
    layer = net.last_layer()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        bias = layer.get_parameter("bias")  # of the small U-Net four a kind, one for each of the pixels that it unfolds
        bias.copy_(torch.arange(1.0, 1 + len(CHANNELS)).repeat_interleave(len(bias) // len(CHANNELS)))
        found = net(fine(1))
    torch.testing.assert_close(found, torch.tensor([1.0, 2.0])[:, None, None].expand(found.shape), rtol=0, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", ["unet_small", "deeplabv3plus_drn"])
def test_blood_is_seen_coarse_and_exudate_fine(name: str, loss: str) -> None:
    assert KINDS[:2] == [HAEMORRHAGE, EXUDATE]
    torch.manual_seed(4)
    net, x = Network(name, loss=loss).eval(), fine()
    with torch.no_grad():
        found, coarse, detail = net(x), net.segmenter(pooled(x)), net.segmenter(x)
    chance = torch.softmax if loss == "softmax" else lambda values, dim: torch.sigmoid(values)
    assert found.shape == (2, 2, SIZE, SIZE)
    torch.testing.assert_close(scores(found)[:, 0], chance(coarse, dim=1)[:, 0], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(scores(found)[:, 1], pooled(chance(detail, dim=1))[:, 1], rtol=1e-3, atol=1e-5)


def test_each_label_is_explained_by_the_layers_that_saw_it() -> None:
    net = network()
    activations = net.features(fine())
    for label, own in ((0, slice(0, 192)), (1, slice(192, 384))):
        leaf = activations.target.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(net.head(replace(activations, target=leaf))[:, label].mean(), leaf)
        is_seen = gradient.abs().amax(dim=(0, 2, 3)) > 0
        assert bool(is_seen[own].any())
        assert int(is_seen.sum()) == int(is_seen[own].sum())


def test_a_finer_picture_is_averaged_for_the_loss() -> None:
    net, x, (_, maps) = network(), fine(), photographs()
    with torch.no_grad():
        assert net.loss(x, maps)["loss"].item() == pytest.approx(net.loss(pooled(x), maps)["loss"].item(), rel=1e-5)


def entropy_and_dice(net: Network) -> tuple[float, float]:
    """Of every kind by NumPy, then their weighted mean."""
    x, maps = photographs()
    with torch.no_grad():
        p = torch.sigmoid(net.segmenter(x)).numpy().astype(np.float64)
    entropies, dices = [], []
    for channel, kind in enumerate(KINDS):
        y, own = (maps.numpy() == kind).astype(float), p[:, channel]
        entropies.append(-np.mean(y * np.log(own) + (1 - y) * np.log(1 - own)))
        dices.append(1 - (2 * (own * y).sum() + 1) / (own.sum() + y.sum() + 1))
    return float(np.average(entropies, weights=WEIGHTS)), float(np.average(dices, weights=WEIGHTS))


def test_loss_is_entropy_and_dice_by_hand() -> None:
    net = network()
    entropy, dice = entropy_and_dice(net)
    with torch.no_grad():
        parts = net.loss(*photographs())
    assert {name: float(value) for name, value in parts.items()} == pytest.approx(
        {"loss": ENTROPY_WEIGHT * entropy + dice, "entropy": entropy, "dice": dice}, rel=1e-4
    )
    for name, wanted in (("entropy", entropy), ("dice", dice)):
        assert network(name).loss(*photographs())["loss"].item() == pytest.approx(wanted, rel=1e-4)


def test_softmax_is_the_entropy_of_exclusive_kinds() -> None:
    net, (x, maps) = network("softmax"), photographs()
    with torch.no_grad():
        whole = net.segmenter(x)
        assert whole.shape == (2, len(KINDS) + 1, SIZE, SIZE)
        places = torch.full(maps.shape, len(KINDS))  # background, and what is beyond the field
        for channel, kind in enumerate(KINDS):
            places[maps == kind] = channel
        weight = torch.tensor([*CHANNELS.values(), 1.0])
        each = functional.cross_entropy(whole, places, weight=weight, reduction="none")
        assert net.loss(x, maps)["loss"].item() == pytest.approx(float(each.mean()), rel=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns_one_picture(loss: str) -> None:
    net, (x, _) = network(loss).train(), photographs()
    maps = torch.zeros(2, SIZE, SIZE, dtype=torch.uint8)
    maps[:, 8:40, 8:40], maps[:, 44:60, 44:60] = HAEMORRHAGE, EXUDATE
    x = x + 4 * (maps == HAEMORRHAGE)[:, None] - 4 * (maps == EXUDATE)[:, None]
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(30):
        optimizer.zero_grad()
        net.loss(x, maps)["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        found = scores(net.segmenter(x))
    for channel, kind in enumerate((HAEMORRHAGE, EXUDATE)):
        assert float(found[:, channel][maps == kind].mean()) > float(found[:, channel][maps != kind].mean()) + 0.2


@pytest.mark.parametrize(("name", "loss"), [("pspnet", LOSSES[0]), ("unet_small", "focal")])
def test_unknown_names_are_refused(name: str, loss: str) -> None:
    with pytest.raises(UsageError, match="known: "):
        Network(name, loss=loss)
