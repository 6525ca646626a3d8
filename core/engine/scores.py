"""The score behind an answer, as something explanations can differentiate."""

import torch
from torch import Tensor


def cumulative_log_odds(logits: Tensor, cut: int) -> Tensor:
    """Log odds of "class `cut` or a higher one" under the softmax of `logits` (C,); its sigmoid is the score on screen."""
    return torch.logsumexp(logits[cut:], dim=0) - torch.logsumexp(logits[:cut], dim=0)
