"""Pair of classifiers that see one image through two windows, with a fused third head (JKSCI 2021, equations 2 to 5)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.engine.networks.acm import ResNet18ACM
from core.engine.networks.classifiers import CLASSIFIERS, Classifier, build_classifier
from core.engine.networks.split import Activations, NetworkView, SplitNetwork
from core.errors import UsageError

ARCHITECTURES = ("resnet18_acm", *CLASSIFIERS)
BRANCHES = ("st", "ss", "tt", "s", "t")
FUSED = "fused"
_NEVER_PAIRED = ("vit_b_16",)  # its head needs the class token beside the target


def _build_branch(architecture: str, n_classes: int, pretrained: bool, size: int) -> Classifier:
    if architecture == "resnet18_acm":
        return ResNet18ACM(n_classes, pretrained=pretrained)
    return build_classifier(architecture, n_classes, pretrained=pretrained, size=size)


def _n_channels(branch: Classifier, size: int) -> int:
    """Channels of the target layer, found with one blank image."""
    with torch.no_grad():
        n = branch.eval().features(torch.zeros(1, 3, size, size)).target.shape[1]
    branch.train()
    return n


def _pool(activations: Tensor) -> Tensor:
    """Mean over all positions as float32, (N, C, h, w) -> (N, C)."""
    return activations.float().mean(dim=(2, 3))


class PairNetwork(SplitNetwork):
    """Two branches with heads of their own, and a head F on g = alpha g_s + (1 - alpha) g_t.

    Input: float32 (N, 6, H, W), x_s in the first three channels and x_t in the last three, whatever the branches look at.
    Target layer: cat([A_s, A_t], 1), (N, 2C, h, w); see BranchView for the map of one branch.
    Output: logits (N, len(rows), n_classes). Row 0 is the answer; `rows` names all: fused, s, t, or the single branch alone.

    Args:
        n_classes: Number of classes.
        architecture: One of ARCHITECTURES, for both branches.
        branches: What the branches see, one of BRANCHES. In "ss" and "tt" both see the same window and are still called s and t;
            "s" and "t" are one network without fusion.
        alpha: None = learned, from 0.5, without bounds; a number = fixed.
        dissimilarity: Weight lambda of the mean cosine between g_s and g_t.
        orthogonality: Weight of the modules' own loss (0.1 in their publication, not mentioned for the pair).
        pretrained: Start the branches from ImageNet weights (downloads them).
        size: Height and width of the input in pixels, which vit_b_16 is built for.

    Raises:
        UsageError: Unknown architecture or branches; a pair of vit_b_16, which only works alone; orthogonality for a network
            without the modules.
    """

    alpha: Tensor

    def __init__(
        self,
        n_classes: int = 3,
        *,
        architecture: str = "resnet18_acm",
        branches: str = "st",
        alpha: float | None = None,
        dissimilarity: float = 0.1,
        orthogonality: float = 0.0,
        pretrained: bool = False,
        size: int = 224,
    ) -> None:
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise UsageError(f"architecture {architecture!r}; known: {', '.join(ARCHITECTURES)}")
        if branches not in BRANCHES:
            raise UsageError(f"branches {branches!r}; known: {', '.join(BRANCHES)}")
        if orthogonality and architecture != "resnet18_acm":
            raise UsageError(f"orthogonality loss with {architecture}, which has no Attend-and-Compare Modules")
        self.is_pair = len(branches) == 2
        if self.is_pair and architecture in _NEVER_PAIRED:
            raise UsageError(f"a pair of {architecture}, which only works alone; wanted: branches s or t")
        names = ("s", "t") if self.is_pair else (branches,)
        self.rows = (FUSED, *names) if self.is_pair else names
        self.windows = dict(zip(names, branches, strict=True))
        self.dissimilarity, self.orthogonality = dissimilarity, orthogonality
        self.branches = nn.ModuleDict(
            {name: _build_branch(architecture, n_classes, pretrained, size) for name in names}
        )
        if self.is_pair:
            self.fused = nn.Linear(_n_channels(self._branch("s"), size), n_classes)
            if alpha is None:
                self.alpha = nn.Parameter(torch.tensor(0.5))
            else:
                self.register_buffer("alpha", torch.tensor(float(alpha)))

    def _branch(self, name: str) -> Classifier:
        branch = self.branches[name]
        assert isinstance(branch, Classifier)
        return branch

    def _window(self, x: Tensor, name: str) -> Tensor:
        """The three channels that a branch sees, (N, 3, H, W)."""
        return x[:, :3] if self.windows[name] == "s" else x[:, 3:]

    def _joined(self, parts: list[Activations]) -> Activations:
        if not self.is_pair:
            return parts[0]
        assert not any(part.rest for part in parts), "a pair needs branches whose head needs the target alone"
        return Activations(torch.cat([part.target for part in parts], dim=1))

    def features(self, x: Tensor) -> Activations:
        """Target cat([A_s, A_t], 1), (N, 2C, h, w), or that of the single branch. x: float32 (N, 6, H, W)."""
        return self._joined([self._branch(name).features(self._window(x, name)) for name in self.windows])

    def head(self, activations: Activations) -> Tensor:
        """Logits, (N, len(rows), n_classes)."""
        if not self.is_pair:
            return self._branch(self.rows[0]).head(activations)[:, None]
        halves = activations.target.chunk(2, dim=1)
        own = [self._branch(name).head(Activations(half)) for name, half in zip("st", halves, strict=True)]
        g_s, g_t = (_pool(half) for half in halves)
        return torch.stack([self.fused(self.alpha * g_s + (1 - self.alpha) * g_t), *own], dim=1)

    def cosine(self, activations: Activations) -> Tensor:
        """Cosine between g_s and g_t, (N,); low = the branches see different things.

        In [0, 1], because both come from a ReLU; EfficientNet's SiLU may leave it a little below zero.

        Raises:
            UsageError: The network has one branch.
        """
        if not self.is_pair:
            raise UsageError("cosine between the branches of a network that has one")
        g_s, g_t = (_pool(half) for half in activations.target.chunk(2, dim=1))
        return functional.cosine_similarity(g_s, g_t, dim=1, eps=1e-8)

    def facts(self, activations: Activations) -> dict[str, Tensor]:
        """Cosine between the branches, and alpha."""
        if not self.is_pair:
            return {}
        cosine = self.cosine(activations)
        return {"cosine": cosine, "alpha": self.alpha.detach().expand_as(cosine)}

    def views(self) -> "dict[str, BranchView]":
        """One view a branch of a pair."""
        return {name: BranchView(self, name) for name in self.windows} if self.is_pair else {}

    def loss(self, x: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Equation 5 and its parts, each a scalar.

        loss = loss_fused + loss_s + loss_t + lambda * dissimilarity + weight * orthogonality, where the first three are mean
        cross-entropies, dissimilarity is the mean cosine, and orthogonality is the sum over the branches of |mean K.Q/C|.
        A single branch has no loss_fused and no dissimilarity.

        Args:
            x: float32 (N, 6, H, W).
            targets: Class indices of any type, (N,).
        """
        parts = []
        orthogonality = x.new_zeros(())
        for name in self.windows:
            branch, window = self._branch(name), self._window(x, name)
            if isinstance(branch, ResNet18ACM):
                part, shared = branch.features_with_overlap(window)
                orthogonality = orthogonality + shared.float().mean().abs()
            else:
                part = branch.features(window)
            parts.append(part)
        activations = self._joined(parts)
        logits, truth = self.head(activations).float(), targets.long()
        losses = {f"loss_{row}": functional.cross_entropy(logits[:, i], truth) for i, row in enumerate(self.rows)}
        total = torch.stack(list(losses.values())).sum() + self.orthogonality * orthogonality
        if self.is_pair:
            losses["dissimilarity"] = self.cosine(activations).mean()
            total = total + self.dissimilarity * losses["dissimilarity"]
        return {"loss": total, **losses, "orthogonality": orthogonality}

    def last_layer(self) -> nn.Module:
        """F, or the last linear layer of the single branch."""
        if self.is_pair:
            return self.fused
        return super().last_layer()


class BranchView(NetworkView):
    """A pair seen from one branch: its half of the channels is the target, the other half is held fixed."""

    def __init__(self, pair: PairNetwork, branch: str) -> None:
        super().__init__()
        if not pair.is_pair or branch not in pair.windows:
            raise UsageError(f"view of branch {branch!r}; known: s, t of a pair")
        self.pair = pair
        self.branch = branch

    def of(self, activations: Activations) -> Activations:
        """Activations of the pair -> of this view: target (N, C, h, w), the other branch in `rest`."""
        a_s, a_t = activations.target.chunk(2, dim=1)
        own, other = (a_s, a_t) if self.branch == "s" else (a_t, a_s)
        return Activations(own, (other.detach(),))  # so that a gradient at the pixels is that of this branch alone

    def features(self, x: Tensor) -> Activations:
        """x: float32 (N, 6, H, W)."""
        return self.of(self.pair.features(x))

    def head(self, activations: Activations) -> Tensor:
        """Output of the pair, (N, 3, n_classes)."""
        halves = (activations.target, *activations.rest)
        return self.pair.head(Activations(torch.cat(halves if self.branch == "s" else halves[::-1], dim=1)))

    def last_layer(self) -> nn.Module:
        """F."""
        return self.pair.last_layer()
