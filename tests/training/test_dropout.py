"""Dropout belongs to a sample: no neighbour, part or process changes what is drawn for it."""

from dataclasses import replace

import pytest
import torch

from echoes_training.models.dropout import GOLDEN, Dropout, draw_kept, finished, mixed
from echoes_training.models.transformer import MaskedTransformer
from echoes_training.presets import PRESETS

TINY = PRESETS["tiny"]
CPU = torch.device("cpu")


def transformer(dropout: float) -> MaskedTransformer:
    torch.manual_seed(0)
    model = MaskedTransformer(
        replace(TINY.transformer.model, layers=2, dropout=dropout), TINY.layout
    )
    return model.requires_grad_(False)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9])
def test_as_much_is_dropped_as_was_asked_for(rate: float) -> None:
    n = 400_001  # not a multiple of what a random number gives
    kept = draw_kept([1, 2], (n,), rate, CPU).double()
    sigma = (rate * (1 - rate) / n) ** 0.5
    assert (kept.mean(dim=1) - (1 - rate)).abs().max().item() < 4 * sigma
    neighbours = ((kept[:, 1:] - 1 + rate) * (kept[:, :-1] - 1 + rate)).mean(dim=1)
    assert neighbours.abs().max().item() < 4 * rate * (1 - rate) / n**0.5


def test_a_gpu_draws_for_each_sample_from_its_own_seed() -> None:
    together = mixed(torch.tensor([7, 5, 2**63 - 1]), 1000)
    assert torch.equal(together[1], mixed(torch.tensor([5]), 1000)[0])
    assert torch.equal(together[:, :10], mixed(torch.tensor([7, 5, 2**63 - 1]), 10))
    assert together.unique().numel() == 3000
    draws = mixed(torch.tensor([1, 2]), 100_000).view(torch.int16).double() / 2**16
    assert draws.mean().item() == pytest.approx(0.0, abs=4 / (12 * 800_000) ** 0.5)
    assert draws.std().item() == pytest.approx(12**-0.5, rel=0.01)
    correlations = torch.corrcoef(torch.cat([draws[:, :-1], draws[:, 1:]]))
    assert correlations.fill_diagonal_(0).abs().max().item() < 4 / 400_000**0.5


def test_its_numbers_are_those_of_splitmix64() -> None:
    # The first ones of the published generator with the seed 1234567.
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    states = 1234567 + torch.arange(1, 4) * GOLDEN
    assert [number % 2**64 for number in finished(states).tolist()] == published


def test_what_stays_makes_up_for_what_does_not() -> None:
    kept = draw_kept(range(4), (1000,), 0.25, CPU)
    x = torch.full((4, 1000), 3.0)
    found = Dropout(0.25)(x, kept)
    assert found.unique().tolist() == [0.0, 4.0]
    assert found.mean().item() == pytest.approx(3.0, abs=0.2)
    assert Dropout(0.25)(x, None) is x


def test_the_network_drops_in_every_place_and_for_each_sample_alone() -> None:
    model = transformer(0.3)
    tokens = torch.randint(32, (3, TINY.layout.n_tokens))
    seeds = [2, 3, 2**63 - 1]
    kept = model.draw_kept(seeds)
    assert kept is not None
    hidden = model.hidden(tokens, kept)
    for row, seed in enumerate(seeds):
        alone = model.hidden(tokens[row : row + 1], model.draw_kept([seed]))
        torch.testing.assert_close(hidden[row : row + 1], alone)
    for place in range(kept.shape[1]):
        changed = kept.clone()
        changed[:, place] = False
        assert not torch.allclose(model.hidden(tokens, changed), hidden)


def test_without_seeds_or_a_rate_nothing_is_dropped() -> None:
    tokens = torch.randint(32, (2, TINY.layout.n_tokens))
    assert transformer(0.0).draw_kept([1, 2]) is None
    with_a_rate = transformer(0.3).train()
    torch.testing.assert_close(with_a_rate(tokens), transformer(0.0)(tokens), rtol=0, atol=0)
