"""The projected LSTM against its formulas step by step, whose gradients PyTorch works out; the compiled pass against PyTorch's."""

import pytest
import torch
import torch.nn.functional as F

from stemma.kernels import gates as kernels
from stemma.layers import projected
from stemma.layers.projected import FEW, ProjectedLSTM
from stemma.layers.recurrent import State
from stemma.layers.spelling import CharacterCNN

B, T, D, C, P = 3, 6, 5, 7, 4


def restated(lstm, x, h, c):
    outputs = []
    for step in F.linear(x, lstm.inputs, lstm.bias).unbind(1):
        i, f, g, o = (step + F.linear(h, lstm.recurrent)).chunk(4, 1)
        c = (torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)).clamp(-lstm.clip, lstm.clip)
        h = F.linear(torch.sigmoid(o) * torch.tanh(c), lstm.project).clamp(-lstm.clip, lstm.clip)
        outputs.append(h)
    return torch.stack(outputs, 1), h, c


@pytest.mark.parametrize("clip", [50.0, 0.15])
@pytest.mark.parametrize("compiled", [True, False])
def test_outputs_states_and_every_gradient_are_the_formulas(monkeypatch, clip, compiled):
    if not compiled:
        monkeypatch.setattr(projected, "_pass", lambda _: (projected._step, projected._step_back, torch.Tensor.unbind))
    torch.manual_seed(0)
    lstm = ProjectedLSTM(D, C, P, clip)
    x, h, c = torch.randn(B, T, D), torch.randn(B, P) * 0.1, torch.randn(B, C) * 0.1
    leaves = [part.requires_grad_() for part in (x, h, c)] + list(lstm.parameters())
    weight, found = torch.randn(B, T, P), {}
    for name, (y, after_h, after_c) in {"ours": flat(lstm(x, State(h, c))), "restated": restated(lstm, x, h, c)}.items():
        loss = (y * weight).sum() + (after_h**2).sum() + (after_c * after_c.detach().sign()).sum()
        found[name] = [y, after_h, after_c, *torch.autograd.grad(loss, leaves)]
    for ours, theirs in zip(found["ours"], found["restated"], strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=1e-5)
    assert clip > 1 or (found["ours"][0].abs() == clip).any()  # the clips act where they are meant to


def flat(answer):
    y, state = answer
    return y, state.h, state.c


def test_the_compiled_squashing_is_exact_to_float32():
    x = torch.cat([torch.linspace(-100, 100, 20_001), torch.linspace(-2, 2, 20_001)]).reshape(1, -1)
    size = x.shape[1]
    sums = torch.cat([x, x, x, x], 1)
    spare = [torch.zeros(1, size) for _ in range(4)]
    kernels.step(sums.numpy(), *(part.numpy() for part in spare), 3.0)
    for place, squash in enumerate((torch.sigmoid, torch.sigmoid, torch.tanh, torch.sigmoid)):
        assert (sums[:, place * size : (place + 1) * size] - squash(x.double())).abs().max() < 2e-7


@pytest.mark.parametrize("rows", [4, FEW])  # few rows are multiplied in float32 within a step
def test_what_the_clip_holds_gets_no_gradient_under_autocast_either(rows):
    """0.7 is no number of bfloat16: states that it holds must be told by the clip itself."""
    torch.manual_seed(0)
    lstm = ProjectedLSTM(16, 32, 8, 0.7)
    with torch.no_grad():
        lstm.project.fill_(1.0)
        lstm.bias.fill_(4.0)
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = lstm(torch.randn(rows, 9, 16))
    assert (y[:, 1:] == 0.7).all()
    (slope,) = torch.autograd.grad(y[:, 1:].sum(), [lstm.project])
    assert not slope.any()


def test_no_rows_and_no_words_are_answered():
    lstm, words = ProjectedLSTM(5, 7, 4, 3.0), CharacterCNN(3, (2, 5), 1, 6)
    for shape in ((0, 3, 5), (2, 0, 5)):
        assert lstm(torch.zeros(shape))[0].shape == (*shape[:2], 4)
    assert words(torch.zeros(0, 50, dtype=torch.long)).shape == (0, 6)


@pytest.mark.parametrize("rows", [4, FEW])
def test_under_autocast_it_stays_near_and_learns(rows):
    torch.manual_seed(0)
    lstm, x = ProjectedLSTM(16, 32, 8, 3.0), torch.randn(rows, 9, 16)
    exact = lstm(x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        near = lstm(x)[0]
    assert near.dtype == torch.float32 and not torch.equal(near, exact)
    torch.testing.assert_close(near, exact, atol=2e-2, rtol=2e-2)
    near.sum().backward()
    assert all(parameter.grad is not None and parameter.grad.dtype == torch.float32 for parameter in lstm.parameters())


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_the_layer_is_torchs_where_no_clip_acts():
    lstm = ProjectedLSTM(6, 7, 6, 50.0)
    peer = torch.nn.LSTM(6, 7, proj_size=6, batch_first=True)
    with torch.no_grad():
        for own, name in (("inputs", "weight_ih_l0"), ("recurrent", "weight_hh_l0"), ("bias", "bias_ih_l0"), ("project", "weight_hr_l0")):
            getattr(peer, name).copy_(getattr(lstm, own))
        peer.bias_hh_l0.zero_()
    x = torch.randn(2, 5, 6)
    torch.testing.assert_close(lstm(x)[0], peer(x)[0], atol=1e-6, rtol=1e-5)
