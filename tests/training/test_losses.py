import pytest
import torch

from echoes_training.losses import (
    balanced,
    discriminator_hinge,
    feature_matching,
    multi_resolution_stft,
    total,
)
from echoes_training.models.transformer import MaskedTransformer
from echoes_training.presets import PRESETS
from echoes_training.stages.transformer import asked_of, masked_loss


def test_total_is_the_weighted_sum_and_refuses_a_loss_without_weight() -> None:
    losses = {"a": torch.tensor(2.0), "b": torch.tensor(3.0)}
    assert total(losses, {"a": 10.0, "b": 1.0}) == 23.0
    with pytest.raises(KeyError):
        total(losses, {"a": 1.0})


def test_balanced_losses_pull_by_their_weights_however_large_they_are() -> None:
    at = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    losses = {"a": 1e6 * at[:, 0].square().mean(), "b": 1e-3 * at[:, 1].mean()}
    weights = {"a": 3.0, "b": 0.5}
    gradient = balanced(losses, weights, at)
    torch.testing.assert_close(gradient, torch.tensor([[3.0, 0.5], [3.0, 0.5]]))
    first = at[:1].detach().requires_grad_()
    part = {"a": 1e6 * first[:, 0].square().mean(), "b": 1e-3 * first[:, 1].mean()}
    torch.testing.assert_close(balanced(part, weights, first), gradient[:1])
    with pytest.raises(KeyError):
        balanced({"c": at.sum()}, {"a": 1.0}, at)


def test_hinge_is_zero_for_a_sure_and_right_discriminator() -> None:
    assert discriminator_hinge(torch.tensor([2.0]), torch.tensor([-2.0])) == 0
    assert discriminator_hinge(torch.tensor([-2.0]), torch.tensor([2.0])) == 3


def test_feature_matching_compares_layer_by_layer() -> None:
    a, b = [torch.zeros(2), torch.zeros(3)], [torch.ones(2), torch.zeros(3)]
    assert feature_matching(a, b) == 0.5


def test_spectral_loss_ignores_phase_and_hears_level() -> None:
    time = torch.arange(8192) / 22050
    tone = torch.sin(2 * torch.pi * 440 * time)[None]
    shifted = torch.sin(2 * torch.pi * 440 * time + 1.0)[None]
    assert multi_resolution_stft(tone, tone) < 1e-6
    assert multi_resolution_stft(tone, shifted) < multi_resolution_stft(tone, 0.5 * tone)


def test_masked_loss_counts_asked_positions_only() -> None:
    torch.manual_seed(0)
    preset = PRESETS["tiny"]
    model = MaskedTransformer(preset.transformer.model, preset.layout).eval()
    codes = torch.randint(0, 32, (2, preset.layout.n_tokens))
    asked = torch.zeros_like(codes, dtype=torch.bool)
    asked[0, 3] = asked[1, -1] = True
    tokens = codes.masked_fill(asked, preset.layout.mask_token_id)
    wanted = asked_of(model, codes, asked, codes.device)
    loss = masked_loss(model, model.hidden(tokens), wanted, 0.0)
    logits = model(tokens)[asked]
    expected = torch.nn.functional.cross_entropy(logits, codes[asked], reduction="sum")
    torch.testing.assert_close(loss, expected)
