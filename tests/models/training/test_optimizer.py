import pytest
import torch

from models.training.optimizer import AdamW


def one_weight(value):
    network = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(value)
    return network


def test_the_first_step_goes_the_rate_against_the_gradient_after_the_decay():
    network = one_weight(2.0)
    network.weight.grad = torch.full((1, 1), 0.3)
    AdamW(network, weight_decay=0.5).step(rate=0.1, clip_norm=10.0)
    # decay: 2 * (1 - 0.1 * 0.5) = 1.9; Adam's first step has length 1: 1.9 - 0.1
    assert network.weight.item() == pytest.approx(1.8, abs=1e-6)
    assert network.weight.grad is None


def test_a_long_gradient_is_shortened_and_a_short_one_is_not():
    long, short = one_weight(0.0), one_weight(0.0)
    optimizers = [AdamW(network, weight_decay=0.0) for network in (long, short)]
    for network, optimizer, gradient in zip((long, short), optimizers, (100.0, 1.0), strict=True):
        network.weight.grad = torch.full((1, 1), gradient)
        optimizer.step(rate=0.1, clip_norm=1.0)
    assert optimizers[0].state()["mean.weight"].item() == pytest.approx(0.1, rel=1e-4)
    assert optimizers[1].state()["mean.weight"].item() == pytest.approx(0.1, rel=1e-4)


def test_an_optimiser_goes_on_where_its_state_was_taken():
    straight, broken = one_weight(1.0), one_weight(1.0)
    one, other = AdamW(straight, weight_decay=0.1), AdamW(broken, weight_decay=0.1)
    for step in range(4):
        if step == 2:
            fresh = AdamW(broken, weight_decay=0.1)
            fresh.load(other.state())
            other = fresh
        for network, optimizer in ((straight, one), (broken, other)):
            network.weight.grad = network.weight.detach() - 0.2 * step
            optimizer.step(rate=0.05, clip_norm=5.0)
    assert torch.equal(straight.weight, broken.weight)
