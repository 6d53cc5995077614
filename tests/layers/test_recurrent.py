"""The LSTM layer against its formula in NumPy float64 and torch.nn.LSTM; carried state; the dropouts that fit it; segments apart."""

import numpy as np
import pytest
import torch
from torch import nn

from stemma.layers.recurrent import Apart, LSTMLayer, State, locked_dropout

B, T, D, H = 3, 7, 5, 4


def made(weight_drop: float = 0.0, seed: int = 0) -> tuple[LSTMLayer, torch.Tensor, State]:
    torch.manual_seed(seed)
    layer = LSTMLayer(D, H, weight_drop)
    nn.init.normal_(layer.bias)
    return layer, torch.randn(B, T, D), State(torch.randn(B, H), torch.randn(B, H))


def formula(x, h, c, inputs, recurrent, bias):
    """The outputs and the last cell state, one position after the other, in float64."""
    outputs = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ inputs.T + h @ recurrent.T + bias, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs, 1), c


def in_double(*tensors):
    return [tensor.detach().double().numpy() for tensor in tensors]


def test_outputs_and_states_are_those_of_the_formula() -> None:
    layer, x, state = made()
    y, c = formula(*in_double(x, *state, layer.inputs, layer.recurrent, layer.bias))
    ours, after = layer(x, state)
    np.testing.assert_allclose(ours.detach(), y, atol=1e-6)
    np.testing.assert_allclose(after.h.detach(), y[:, -1], atol=1e-6)
    np.testing.assert_allclose(after.c.detach(), c, atol=1e-6)


def test_gradients_are_the_finite_differences_of_the_formula() -> None:
    layer, x, state = made()
    slopes = torch.randn(B, T, H)
    x.requires_grad_()
    (layer(x, state)[0] * slopes).sum().backward()
    values = in_double(x, *state, layer.inputs, layer.recurrent, layer.bias)
    rng = np.random.default_rng(0)
    for place, gradient in zip((0, 3, 4, 5), (x.grad, layer.inputs.grad, layer.recurrent.grad, layer.bias.grad), strict=True):
        for flat in rng.choice(values[place].size, 8, replace=False):
            sides = []
            for step in (1e-6, -1e-6):
                moved = [value.copy() for value in values]
                moved[place].flat[flat] += step
                sides.append((formula(*moved)[0] * slopes.double().numpy()).sum())
            assert gradient.flatten()[flat].item() == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-4, abs=1e-5)


def test_weights_of_torchs_own_module_give_its_outputs() -> None:
    layer, x, state = made()
    theirs = nn.LSTM(D, H, batch_first=True)
    with torch.no_grad():
        for name, value in (("weight_ih", layer.inputs), ("weight_hh", layer.recurrent), ("bias_ih", layer.bias)):
            getattr(theirs, f"{name}_l0").copy_(value)
        theirs.bias_hh_l0.zero_()
    y, (h, c) = theirs(x, (state.h[None], state.c[None]))
    ours, after = layer(x, state)
    torch.testing.assert_close(ours, y, atol=1e-6, rtol=0)
    torch.testing.assert_close(after, State(h[0], c[0]), atol=1e-6, rtol=0)


def test_pieces_with_the_state_carried_are_the_whole() -> None:
    layer, x, _ = made()
    whole, end = layer(x)
    first, state = layer(x[:, :3])
    second, after = layer(x[:, 3:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, atol=1e-6, rtol=0)
    torch.testing.assert_close(after, end, atol=1e-6, rtol=0)


def test_bfloat16_is_near() -> None:
    layer, x, state = made()
    exact, _ = layer(x, state)
    with torch.autocast("cpu", torch.bfloat16):
        near, _ = layer(x, state)
    torch.testing.assert_close(near.float(), exact, atol=0.03, rtol=0)
    near.float().square().sum().backward()
    rough = layer.recurrent.grad.clone()
    layer.zero_grad()
    layer(x, state)[0].square().sum().backward()
    torch.testing.assert_close(rough, layer.recurrent.grad, atol=0.02, rtol=0.05)


def test_weight_drop_spares_the_first_step_from_zeros_and_evaluation() -> None:
    layer, x, state = made(weight_drop=0.5)
    plain = LSTMLayer(D, H)
    plain.load_state_dict(layer.state_dict())
    once, again = layer(x)[0], layer(x)[0]
    torch.testing.assert_close(once[:, 0], plain(x)[0][:, 0])  # h is 0: U has no part in it
    assert not torch.allclose(once[:, 1:], plain(x)[0][:, 1:]) and not torch.allclose(once, again)
    torch.testing.assert_close(layer.eval()(x, state)[0], plain(x, state)[0])
    assert "recurrent" in dict(layer.named_parameters())


def test_weight_drop_of_nothing_is_the_plain_layer() -> None:
    layer, x, state = made(weight_drop=0.0)
    torch.testing.assert_close(layer.train()(x, state)[0], layer.eval()(x, state)[0], atol=0, rtol=0)


def test_dropped_weights_get_no_gradient_and_the_others_do() -> None:
    layer, x, state = made(weight_drop=0.5)
    layer(x, state)[0].sum().backward()
    share = (layer.recurrent.grad == 0).float().mean().item()
    assert 0.3 < share < 0.7


def test_a_locked_mask_is_one_in_time_and_another_in_each_row() -> None:
    torch.manual_seed(0)
    x = torch.ones(4, 6, 200)
    y = locked_dropout(x, 0.25, True)
    assert (y == y[:, :1]).all()
    assert not torch.equal(y[0], y[1])
    assert (y == 0).float().mean().item() == pytest.approx(0.25, abs=0.05)
    assert y.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert locked_dropout(x, 0.25, False) is x and locked_dropout(x, 0.0, True) is x


SEGMENTS = torch.tensor([[1, 1, 2, 2, 2, 0, 0], [1, 2, 3, 3, 3, 3, 3], [0] * 7, [1] * 7])


def test_segments_apart_are_read_from_zeros_and_come_back_to_their_places() -> None:
    layer, _, _ = made()
    x = torch.randn(4, 7, D)
    apart = Apart(SEGMENTS)
    together = apart.back(layer(apart.rows(x))[0])
    assert (together[SEGMENTS == 0] == 0).all()
    for row, column, length in ((0, 0, 2), (0, 2, 3), (1, 0, 1), (1, 1, 1), (1, 2, 5), (3, 0, 7)):
        alone = layer(x[row : row + 1, column : column + length])[0][0]
        torch.testing.assert_close(together[row, column : column + length], alone, atol=1e-6, rtol=0)


def test_a_batch_of_padding_alone_has_no_segment() -> None:
    apart = Apart(torch.zeros(2, 3, dtype=torch.long))
    assert apart.rows(torch.ones(2, 3, D)).shape == (0, 0, D)
    assert (apart.back(torch.ones(0, 0, H)) == torch.zeros(2, 3, H)).all()
