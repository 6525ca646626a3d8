"""One forward pass: output and activations together, finite or an error, a short queue in front."""

import threading

import numpy as np
import pytest
import torch
from factory import images, model_of, tiny_network

from core.engine import runner
from core.engine.runner import run
from core.errors import BusyError, ScreeningError


def test_output_and_activations_of_one_pass() -> None:
    network = tiny_network()
    x = torch.from_numpy(images(3))
    done = run(model_of(network), images(3))
    with torch.no_grad():
        assert torch.equal(done.activations.target, network.features(x).target)
        assert done.output == pytest.approx(network(x).numpy(), abs=1e-6)
    assert done.output.dtype == np.float32
    assert done.output.shape == (3, 1)
    assert not done.activations.target.requires_grad


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_input_that_is_not_finite_is_an_error(value: float) -> None:
    batch = images(2)
    batch[1, 2, 5, 5] = value
    with pytest.raises(ScreeningError) as caught:
        run(model_of(tiny_network()), batch)
    assert (caught.value.code, caught.value.got) == ("E_NONFINITE", "network input")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_output_that_is_not_finite_is_an_error(value: float) -> None:
    network = tiny_network()
    with torch.no_grad():
        network.last.bias.fill_(value)
    with pytest.raises(ScreeningError) as caught:
        run(model_of(network), images(1))
    assert (caught.value.code, caught.value.got) == ("E_NONFINITE", "network output")


def test_no_place_in_time_is_busy_and_a_freed_place_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_PLACES", threading.BoundedSemaphore(1))
    monkeypatch.setattr(runner, "WAIT_SECONDS", 0.05)
    model = model_of(tiny_network())
    with runner.place_in_queue(), pytest.raises(BusyError) as caught:
        run(model, images(1))
    assert caught.value.code == "E_BUSY"
    assert run(model, images(1)).output.shape == (1, 1)


def test_a_failed_pass_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_PLACES", threading.BoundedSemaphore(1))
    monkeypatch.setattr(runner, "WAIT_SECONDS", 0.05)
    model = model_of(tiny_network())
    with pytest.raises(RuntimeError, match="channels"):
        run(model, np.zeros((1, 2, 64, 64), np.float32))
    assert run(model, images(1)).output.shape == (1, 1)
