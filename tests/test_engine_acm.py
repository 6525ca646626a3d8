"""The Attend-and-Compare Module against its formulae, ResNet18 with it, and the pair of two windows."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision.models as tv
from factory import images, model_of
from pytorch_grad_cam import GradCAM
from torch import Tensor, nn

from core.engine import runner
from core.engine.explain import RawMap, explain
from core.engine.loader import Model
from core.engine.networks.acm import AttendAndCompare, ResNet18ACM, load_resnet18, overlap
from core.engine.networks.pair import ARCHITECTURES, BRANCHES, BranchView, PairNetwork
from core.engine.networks.split import Activations
from core.engine.runner import Run, run
from core.errors import UsageError, WeightsError

SIDE = 96
MODULE_PARAMETERS = {64: 416, 128: 1024, 256: 3008, 512: 10048}
RESNET18, EXTRA, FUSED_HEAD = 11_178_051, 28_992, 512 * 3 + 3


def n_parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def six(n: int, seed: int = 0) -> np.ndarray:
    """Input of a pair: two unrelated pictures in three channels each."""
    return np.concatenate([images(n, SIDE, seed=seed), images(n, SIDE, seed=seed + 1000)], axis=1)


def warmed(network: nn.Module, x: np.ndarray) -> nn.Module:
    """In evaluation mode, with running statistics of one batch."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(torch.from_numpy(x))
    return network.eval()


# --- the module ------------------------------------------------------------------------------------------------------


@pytest.fixture
def module() -> AttendAndCompare:
    """Small, with biases that are not zero: no formula may hold only because they are."""
    torch.manual_seed(1)
    made = AttendAndCompare(16, groups=4).requires_grad_(False)
    for layer in (made.key, made.query, made.squeeze, made.expand):
        layer.bias.normal_()
    return made


def maps(*shape: int, seed: int = 2) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def by_formula(x: np.ndarray, module: AttendAndCompare) -> tuple[np.ndarray, np.ndarray]:
    """Y and K.Q/C with loops in float64, one image and one group at a time."""
    state = {key: value.double().numpy() for key, value in module.state_dict().items()}
    n, c = x.shape[:2]
    size, half = c // module.groups, c // 2 // module.groups
    y, dp = np.empty_like(x), np.empty(n)
    for i in range(n):
        mean = x[i].mean(axis=(1, 2))
        centred = x[i] - mean[:, None, None]
        seen = {}
        for name in ("key", "query"):
            vector = np.empty(c)
            for g in range(module.groups):
                part = centred[g * size : (g + 1) * size]
                logits = np.tensordot(state[f"{name}.weight"][g, :, 0, 0], part, 1) + state[f"{name}.bias"][g]
                softmax = np.exp(logits) / np.exp(logits).sum()
                vector[g * size : (g + 1) * size] = (softmax * part).sum(axis=(1, 2))
            seen[name] = vector
        hidden = np.array(
            [
                max(
                    0.0,
                    state["squeeze.weight"][j, :, 0, 0] @ mean[j // half * size :][:size] + state["squeeze.bias"][j],
                )
                for j in range(c // 2)
            ]
        )
        gate_logits = [
            state["expand.weight"][k, :, 0, 0] @ hidden[k // size * half :][:half] + state["expand.bias"][k]
            for k in range(c)
        ]
        gate = 1 / (1 + np.exp(-np.array(gate_logits)))
        y[i] = (x[i] + (seen["key"] - seen["query"])[:, None, None]) * gate[:, None, None]
        dp[i] = (seen["key"] * seen["query"]).sum() / c
    return y, dp


def test_output_and_overlap_follow_the_formulae(module: AttendAndCompare) -> None:
    x = maps(2, 16, 5, 7)
    y, dp = module.forward_with_overlap(x)
    expected_y, expected_dp = by_formula(x.double().numpy(), module)
    assert y.shape == x.shape
    assert dp.shape == (2,)
    assert y.numpy() == pytest.approx(expected_y, abs=1e-5)
    assert dp.numpy() == pytest.approx(expected_dp, abs=1e-6)
    assert torch.equal(module(x), y)
    torch.testing.assert_close(module(x.contiguous(memory_format=torch.channels_last)), y, rtol=1e-5, atol=1e-6)


def test_constant_image_is_only_gated(module: AttendAndCompare) -> None:
    x = maps(2, 16, 1, 1).expand(2, 16, 6, 6)
    key, query = module.attend(x)
    assert float(torch.cat([key, query]).abs().max()) < 1e-6
    torch.testing.assert_close(module(x), x * module.gate(x), rtol=0, atol=1e-6)
    assert float(module.gate(x).std()) > 0.05


def test_order_of_the_pixels_does_not_matter_to_what_is_seen(module: AttendAndCompare) -> None:
    x = maps(2, 16, 6, 6)
    shuffled = x.flatten(2)[:, :, torch.randperm(36, generator=torch.Generator().manual_seed(3))].reshape(x.shape)
    for ours, expected in zip(module.attend(shuffled), module.attend(x), strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)
        assert float(expected.abs().max()) > 0.1


def test_groups_are_independent(module: AttendAndCompare) -> None:
    x = maps(1, 16, 6, 6)
    changed = x.clone()
    changed[:, 4:8] = 3 * maps(1, 4, 6, 6, seed=9) + 1
    moved = (module(changed) - module(x)).abs().amax(dim=(0, 2, 3))
    assert float(moved[4:8].min()) > 0.01
    assert not moved[:4].any()
    assert not moved[8:].any()


def test_overlap_is_zero_when_both_maps_see_unrelated_channels() -> None:
    """One group of two channels, each bright at a place of its own; the key looks at the first, the query at the second."""
    module = AttendAndCompare(2, groups=1).requires_grad_(False)
    x = torch.tensor([[[[1.0, -1.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, -1.0]]]])
    module.key.weight[0, :, 0, 0] = torch.tensor([3.0, 0.0])
    module.query.weight[0, :, 0, 0] = torch.tensor([0.0, 3.0])
    key, query = module.attend(x)
    assert float(key[0, 0]) > 0.5
    assert float(query[0, 1]) > 0.5
    assert float(overlap(key, query)) == pytest.approx(0, abs=1e-7)
    module.query.weight.copy_(module.key.weight)
    assert float(module.forward_with_overlap(x)[1]) == pytest.approx(float(key[0, 0]) ** 2 / 2, rel=1e-4)


def test_start_halves_its_input() -> None:
    """Biases are zero, so the gate lies around one half."""
    torch.manual_seed(0)
    module = AttendAndCompare(64)
    assert not any(layer.bias.any() for layer in (module.key, module.query, module.squeeze, module.expand))
    gate = module.gate(torch.zeros(1, 64, 4, 4))
    assert torch.equal(gate, torch.full_like(gate, 0.5))


@pytest.mark.parametrize(("channels", "n"), MODULE_PARAMETERS.items())
def test_parameters_of_a_module(channels: int, n: int) -> None:
    assert n_parameters(AttendAndCompare(channels)) == n


def test_channels_that_the_groups_do_not_divide_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match="multiple of 64"):
        AttendAndCompare(96)


# --- ResNet18 with it ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def resnet() -> ResNet18ACM:
    torch.manual_seed(4)
    return warmed(ResNet18ACM(3), images(8, SIDE, seed=9))


def test_extra_parameters_of_resnet18(resnet: ResNet18ACM) -> None:
    assert n_parameters(resnet) == RESNET18 + EXTRA
    plain = {key for key, _ in tv.resnet18(num_classes=3).named_parameters()}
    extra = [p.numel() for key, p in resnet.net.named_parameters() if key not in plain]
    assert sum(extra) == EXTRA
    assert sum(isinstance(module, AttendAndCompare) for module in resnet.modules()) == 8


def test_both_halves_are_the_whole(resnet: ResNet18ACM) -> None:
    x = torch.from_numpy(images(2, SIDE, seed=1))
    with torch.no_grad():
        activations = resnet.features(x)
        again, shared = resnet.features_with_overlap(x)
        assert torch.equal(resnet(x), resnet.head(activations))
    assert activations.target.shape == (2, 512, 3, 3)
    assert float(activations.target.min()) == 0
    assert torch.equal(activations.target, again.target)
    assert shared.shape == (2,)


def test_overlap_of_the_network_is_the_sum_over_its_modules(resnet: ResNet18ACM) -> None:
    x = torch.from_numpy(images(2, SIDE, seed=1))
    seen = []
    hooks = [
        module.register_forward_pre_hook(lambda acm, inputs: seen.append(acm.forward_with_overlap(inputs[0])[1]))
        for module in resnet.modules()
        if isinstance(module, AttendAndCompare)
    ]
    try:
        with torch.no_grad():
            resnet(x)
            _, shared = resnet.features_with_overlap(x)
    finally:
        for hook in hooks:
            hook.remove()
    assert len(seen) == 8
    torch.testing.assert_close(shared, torch.stack(seen).sum(dim=0))
    assert float(shared.abs().min()) > 0


def test_with_modules_that_do_nothing_it_is_torchvisions_resnet18() -> None:
    """K = Q and P = 1; this fixes their place between the last batch norm and the addition as harmless."""
    torch.manual_seed(5)
    plain = warmed(tv.resnet18(num_classes=3), images(8, SIDE, seed=9))
    network = ResNet18ACM(3).eval().requires_grad_(False)
    load_resnet18(network, plain.state_dict())
    for module in network.modules():
        if isinstance(module, AttendAndCompare):
            module.query.load_state_dict(module.key.state_dict())
            module.expand.weight.zero_()
            module.expand.bias.fill_(100.0)
    x = torch.from_numpy(images(2, SIDE, seed=1))
    with torch.no_grad():
        torch.testing.assert_close(network(x), plain(x), rtol=1e-4, atol=1e-5)


def test_module_stands_behind_the_last_batch_norm_and_before_the_addition(resnet: ResNet18ACM) -> None:
    block = resnet.net.layer2[0]  # with a shortcut of its own
    x = maps(1, 64, 8, 8)
    with torch.no_grad():
        residual = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(x)))))
        torch.testing.assert_close(block(x), torch.relu(block.acm(residual) + block.downsample(x)))


@pytest.mark.parametrize("n_outputs", [1000, 3])
def test_plain_weights_leave_only_the_modules_out(n_outputs: int) -> None:
    torch.manual_seed(6)
    plain = tv.resnet18()
    network = ResNet18ACM(n_outputs)
    start = network.net.fc.weight.detach().clone()
    missing = load_resnet18(network, plain.state_dict())
    of_modules = [key for key in missing if ".acm." in key]
    assert len(of_modules) == 8 * 8
    assert set(missing) - set(of_modules) == (set() if n_outputs == 1000 else {"fc.weight", "fc.bias"})
    assert torch.equal(network.net.layer4[1].conv2.weight, plain.layer4[1].conv2.weight)
    assert torch.equal(network.net.fc.weight, plain.fc.weight if n_outputs == 1000 else start)


def test_old_files_without_batch_counters_load() -> None:
    state = {key: value for key, value in tv.resnet18().state_dict().items() if "num_batches" not in key}
    assert all(".acm." in key for key in load_resnet18(ResNet18ACM(1000), state))


@pytest.mark.parametrize("fault", ["missing", "unexpected", "shape"])
def test_state_of_another_network_is_refused(fault: str) -> None:
    state = dict(tv.resnet18().state_dict())
    tensor = state.pop("layer3.0.conv1.weight")
    if fault != "missing":
        state["layer3.0.conv1.weight"] = tensor if fault == "unexpected" else tensor[:5]
    if fault == "unexpected":
        state["fc.extra"] = tensor
    with pytest.raises(WeightsError, match="ResNet18"):
        load_resnet18(ResNet18ACM(3), state)


# --- the pair --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair() -> PairNetwork:
    torch.manual_seed(7)
    return warmed(PairNetwork(3), six(8, seed=9))


@pytest.fixture(scope="module")
def frozen() -> Model:
    torch.manual_seed(8)
    network = PairNetwork(3)
    with torch.no_grad():
        network.alpha.fill_(0.3)
    return model_of(warmed(network, six(8, seed=9)))


def test_parameters_of_the_pair(pair: PairNetwork) -> None:
    assert n_parameters(pair) == 2 * (RESNET18 + EXTRA) + FUSED_HEAD + 1


def test_offered_architectures_and_branches() -> None:
    assert ARCHITECTURES[0] == "resnet18_acm"
    assert {"resnet18", "googlenet", "densenet121"} <= set(ARCHITECTURES)
    assert set(BRANCHES) == {"st", "ss", "tt", "s", "t"}


def test_features_and_head_are_the_whole(pair: PairNetwork) -> None:
    x = torch.from_numpy(six(2))
    with torch.no_grad():
        activations = pair.features(x)
        before = activations.target.clone()
        output = pair.head(activations)
        assert torch.equal(pair(x), output)
    assert torch.equal(activations.target, before)
    assert activations.target.shape == (2, 1024, 3, 3)
    assert output.shape == (2, 3, 3)
    assert pair.rows == ("fused", "s", "t")


def test_each_branch_sees_its_own_three_channels(pair: PairNetwork) -> None:
    x = torch.from_numpy(six(2))
    other = torch.cat([x[:, :3], x[:, 3:].flip(3)], dim=1)
    with torch.no_grad():
        whole, changed = pair(x), pair(other)
        torch.testing.assert_close(whole[:, 1], pair.branches["s"](x[:, :3]))
        torch.testing.assert_close(whole[:, 2], pair.branches["t"](x[:, 3:]))
    assert torch.equal(changed[:, 1], whole[:, 1])
    assert float((changed[:, 2] - whole[:, 2]).abs().min()) > 1e-5
    assert float((changed[:, 0] - whole[:, 0]).abs().min()) > 1e-6


def cross_entropy(logits: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean([np.log(np.exp(row).sum()) - row[k] for row, k in zip(logits, y, strict=True)]))


@pytest.mark.parametrize("alpha", [None, 0.1])
def test_equations_two_to_five(alpha: float | None) -> None:
    torch.manual_seed(10)
    network = PairNetwork(3, alpha=alpha, dissimilarity=0.2, orthogonality=0.1)
    warmed(network, six(8, seed=9)).requires_grad_(False)
    if alpha is None:
        alpha = 0.7
        network.alpha.fill_(alpha)
    x, y = torch.from_numpy(six(4)), np.array([0, 2, 1, 2])
    losses = {name: float(value) for name, value in network.loss(x, torch.tensor(y, dtype=torch.float32)).items()}

    state = {key: value.double().numpy() for key, value in network.state_dict().items()}
    features = {"s": network.branches["s"].features(x[:, :3]), "t": network.branches["t"].features(x[:, 3:])}
    g = {name: part.target.double().numpy().mean(axis=(2, 3)) for name, part in features.items()}
    logits = {k: g[k] @ state[f"branches.{k}.net.fc.weight"].T + state[f"branches.{k}.net.fc.bias"] for k in "st"}
    fused = (alpha * g["s"] + (1 - alpha) * g["t"]) @ state["fused.weight"].T + state["fused.bias"]
    norms = np.linalg.norm(g["s"], axis=1) * np.linalg.norm(g["t"], axis=1)
    expected = {
        "loss_fused": cross_entropy(fused, y),
        "loss_s": cross_entropy(logits["s"], y),
        "loss_t": cross_entropy(logits["t"], y),
        "dissimilarity": float(np.mean((g["s"] * g["t"]).sum(axis=1) / norms)),
        "orthogonality": sum(
            abs(float(network.branches[k].features_with_overlap(part)[1].mean()))
            for k, part in (("s", x[:, :3]), ("t", x[:, 3:]))
        ),
    }
    total = sum(expected[k] for k in ("loss_fused", "loss_s", "loss_t"))
    expected["loss"] = total + 0.2 * expected["dissimilarity"] + 0.1 * expected["orthogonality"]
    assert losses == pytest.approx(expected, rel=1e-4)
    assert network(x)[:, 0].numpy() == pytest.approx(fused, rel=1e-4, abs=1e-5)
    assert abs(fused - logits["s"]).max() > 0.01


def test_cosine_lies_between_zero_and_one(pair: PairNetwork) -> None:
    with torch.no_grad():
        activations = pair.features(torch.from_numpy(six(4)))
    half = activations.target[:, :512]
    assert pair.cosine(activations).shape == (4,)
    assert 0 < float(pair.cosine(activations).min()) <= float(pair.cosine(activations).max()) < 1
    same = Activations(torch.cat([half, 2 * half], dim=1))
    assert pair.cosine(same).numpy() == pytest.approx(1, abs=1e-5)
    apart = half.clone()
    apart[:, :256] = 0
    assert not pair.cosine(Activations(torch.cat([half - apart, apart], dim=1))).any()
    assert not pair.cosine(Activations(torch.zeros(2, 1024, 3, 3))).any()  # not NaN


def test_learned_alpha_starts_at_one_half_and_gets_a_gradient() -> None:
    torch.manual_seed(11)
    network = PairNetwork(3)
    assert network.alpha.item() == 0.5
    x, y = torch.from_numpy(six(4)), torch.tensor([0, 1, 2, 0])
    network.loss(x, y)["loss"].backward()
    assert network.alpha.grad is not None
    assert abs(float(network.alpha.grad)) > 1e-5
    # the attention biases cancel in the softmax
    silent = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert all(key.endswith(("acm.key.bias", "acm.query.bias")) for key in silent)


def test_fixed_alpha_is_no_parameter_but_is_saved() -> None:
    network = PairNetwork(3, alpha=0.9)
    assert "alpha" not in dict(network.named_parameters())
    assert float(network.state_dict()["alpha"]) == pytest.approx(0.9)


def test_weight_of_a_loss_moves_the_total_and_nothing_else() -> None:
    x, y = torch.from_numpy(six(4)), torch.tensor([0, 1, 2, 0])

    def losses(dissimilarity: float, orthogonality: float) -> dict[str, float]:
        torch.manual_seed(12)
        network = PairNetwork(3, dissimilarity=dissimilarity, orthogonality=orthogonality)
        with torch.no_grad():
            return {name: float(value) for name, value in network.loss(x, y).items()}

    plain, paper, both = losses(0, 0), losses(0.1, 0), losses(0.1, 0.1)
    assert plain["loss"] == pytest.approx(plain["loss_fused"] + plain["loss_s"] + plain["loss_t"])
    assert paper["loss"] - plain["loss"] == pytest.approx(0.1 * plain["dissimilarity"], abs=1e-5)
    assert both["loss"] - paper["loss"] == pytest.approx(0.1 * plain["orthogonality"], abs=1e-5)
    assert {k: v for k, v in both.items() if k != "loss"} == {k: v for k, v in plain.items() if k != "loss"}


def test_loss_under_autocast_is_close_to_that_in_float32(pair: PairNetwork) -> None:
    x, y = torch.from_numpy(six(2)), torch.tensor([0, 1])
    with torch.no_grad():
        exact = pair.loss(x, y)
        with torch.autocast("cpu", torch.bfloat16):
            rough = pair.loss(x, y)
    assert all(value.dtype == torch.float32 for value in rough.values())
    assert float(rough["loss"]) == pytest.approx(float(exact["loss"]), rel=0.02)


@pytest.mark.parametrize("branches", ["ss", "tt"])
def test_two_branches_on_one_window_ignore_the_other(branches: str) -> None:
    torch.manual_seed(13)
    network = warmed(PairNetwork(3, branches=branches), six(8, seed=9))
    x = torch.from_numpy(six(2))
    blank = x.clone()
    blank[:, 3:] *= branches == "tt"
    blank[:, :3] *= branches == "ss"
    with torch.no_grad():
        output = network(x)
        assert torch.equal(network(blank), output)
    assert float((output[:, 1] - output[:, 2]).abs().max()) > 1e-3  # two networks, not one twice


@pytest.mark.parametrize("branch", ["s", "t"])
def test_single_branch(branch: str) -> None:
    torch.manual_seed(14)
    network = warmed(PairNetwork(3, branches=branch), six(8, seed=9))
    assert n_parameters(network) == RESNET18 + EXTRA
    assert network.rows == (branch,)
    x = torch.from_numpy(six(2))
    with torch.no_grad():
        output, activations = network(x), network.features(x)
        own = network.branches[branch](x[:, :3] if branch == "s" else x[:, 3:])
        losses = network.loss(x, torch.tensor([0, 1]))
    assert output.shape == (2, 1, 3)
    assert torch.equal(output[:, 0], own)
    assert activations.target.shape == (2, 512, 3, 3)
    assert set(losses) == {"loss", f"loss_{branch}", "orthogonality"}
    assert float(losses["loss"]) == float(losses[f"loss_{branch}"])
    assert network.last_layer() is network.branches[branch].net.fc
    with pytest.raises(UsageError, match="has one"):
        network.cosine(activations)


@pytest.mark.parametrize(("architecture", "channels"), [("resnet18", 512), ("googlenet", 1024)])
def test_pair_of_plain_classifiers(architecture: str, channels: int) -> None:
    torch.manual_seed(15)
    network = PairNetwork(3, architecture=architecture)
    assert network.training
    assert all(module.training for module in network.modules())
    x = torch.from_numpy(six(2))
    losses = network.loss(x, torch.tensor([0, 1]))
    assert float(losses["orthogonality"]) == 0
    with torch.no_grad():
        assert network.eval().features(x).target.shape == (2, 2 * channels, 3, 3)
        assert network(x).shape == (2, 3, 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"architecture": "alexnet"}, "resnet18_acm"),
        ({"branches": "ts"}, "st, ss, tt, s, t"),
        ({"architecture": "resnet18", "orthogonality": 0.1}, "no Attend-and-Compare"),
    ],
)
def test_wrong_option_is_a_usage_error(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        PairNetwork(3, **options)


def test_last_layer_gives_the_answer_and_not_the_branches(pair: PairNetwork) -> None:
    x = torch.from_numpy(six(1))
    layer = pair.last_layer()
    with torch.no_grad():
        first = pair(x)
        layer.bias += 5
        moved = pair(x) - first
        layer.bias -= 5
    assert moved[:, 0].numpy() == pytest.approx(5, abs=1e-4)
    assert not moved[:, 1:].any()


# --- maps of the branches --------------------------------------------------------------------------------------------

LIKELIEST = 1


def score(output: Tensor) -> Tensor:
    return output[0, LIKELIEST]


def branch_map(model: Model, done: Run, branch: str, method: str = "grad_cam") -> RawMap:
    view = BranchView(model.network, branch)
    seen = replace(done, activations=view.of(done.activations))
    return explain(replace(model, network=view), seen, 0, method, score)


@pytest.mark.parametrize("branch", ["s", "t"])
def test_view_is_the_pair(frozen: Model, branch: str) -> None:
    view = BranchView(frozen.network, branch)
    x = torch.from_numpy(six(2))
    with torch.no_grad():
        activations = view.features(x)
        assert torch.equal(view(x), frozen.network(x))
        own = frozen.network.branches[branch].features(x[:, :3] if branch == "s" else x[:, 3:])
    assert torch.equal(activations.target, own.target)
    assert view.last_layer() is frozen.network.fused


def test_view_of_what_is_no_branch_is_a_usage_error(frozen: Model) -> None:
    with pytest.raises(UsageError, match="'fused'"):
        BranchView(frozen.network, "fused")
    with pytest.raises(UsageError, match="of a pair"):
        BranchView(PairNetwork(3, branches="s"), "s")


@pytest.mark.parametrize("branch", ["s", "t"])
def test_map_of_a_branch_is_its_half_of_the_channels(frozen: Model, branch: str) -> None:
    """Weights by autograd on the activations of the whole pair; and the library with its hook in the branch."""
    done = run(frozen, six(1))
    target = done.activations.target.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(score(frozen.network.head(Activations(target))[0]), target)
    weighted = (gradient.mean(dim=(2, 3), keepdim=True) * done.activations.target)[0]
    signed = (weighted[:512] if branch == "s" else weighted[512:]).sum(dim=0)
    ours = branch_map(frozen, done, branch)
    assert ours.raw_max == pytest.approx(float(signed.max()), rel=1e-4)
    assert ours.raw_max > 0
    positive = (signed.clamp_min(0) / signed.max())[None, None]
    expected = nn.functional.interpolate(positive, (SIDE, SIDE), mode="bilinear")[0, 0].numpy()
    assert ours.values == pytest.approx(expected, abs=1e-4)

    whole = PairNetwork(3)
    whole.load_state_dict(frozen.network.state_dict())
    layer = whole.eval().branches[branch].net.layer4[-1]
    library = GradCAM(whole, [layer])(torch.from_numpy(six(1)), [score])[0]
    assert np.corrcoef(ours.values.ravel(), library.ravel())[0, 1] >= 0.999


def test_maps_of_both_branches_differ(frozen: Model) -> None:
    done = run(frozen, six(1))
    s, t = (branch_map(frozen, done, branch).values.ravel() for branch in "st")
    assert np.corrcoef(s, t)[0, 1] < 0.9


def test_ablation_of_one_branch_keeps_the_other(frozen: Model) -> None:
    done = run(frozen, six(1))
    base, maps = done.output[0, 0, LIKELIEST], done.activations.target
    drops = []
    with torch.no_grad():
        for channel in range(512, 1024):
            changed = maps.clone()
            changed[:, channel] = 0
            drops.append(base - float(frozen.network.head(Activations(changed))[0, 0, LIKELIEST]))
    signed = np.tensordot(np.array(drops) / abs(base), maps[0, 512:].numpy(), 1)
    assert branch_map(frozen, done, "t", "ablation_cam").raw_max == pytest.approx(signed.max(), rel=0.01)


def test_two_threads_on_one_pair_give_what_one_thread_gives(frozen: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_PLACES", threading.BoundedSemaphore(2))
    start = threading.Barrier(2)

    def everything(x: np.ndarray) -> list[np.ndarray]:
        done = run(frozen, x)
        cosine = frozen.network.cosine(done.activations).numpy()
        return [done.output, cosine, *(branch_map(frozen, done, branch).values for branch in "st")]

    def one_user(x: np.ndarray) -> list[list[np.ndarray]]:
        start.wait()
        return [everything(x) for _ in range(4)]

    inputs = [six(1, seed=seed) for seed in (21, 22)]
    serial = [everything(x) for x in inputs]
    with ThreadPoolExecutor(2) as pool:
        rounds = list(pool.map(one_user, inputs))
    for expected, answers in zip(serial, rounds, strict=True):
        for answer in answers:
            for ours, one in zip(answer, expected, strict=True):
                assert np.abs(ours - one).max() <= 1e-4
    assert np.abs(serial[0][2] - serial[1][2]).max() > 0.05


def test_a_run_leaves_nothing_on_the_network(frozen: Model) -> None:
    def attributes() -> dict[str, set[str]]:
        return {name: set(vars(module)) for name, module in frozen.network.named_modules()}

    before, state = attributes(), {k: v.clone() for k, v in frozen.network.state_dict().items()}
    branch_map(frozen, run(frozen, six(1)), "s")
    assert attributes() == before
    assert all(torch.equal(value, frozen.network.state_dict()[key]) for key, value in state.items())
    assert all(p.grad is None and not p.requires_grad for p in frozen.network.parameters())
