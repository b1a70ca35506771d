"""The two exact rules, on cases small enough to enumerate."""

from __future__ import annotations

import itertools

import pytest
import torch

from engine_under_test.speculative import match_length, verify_ratio

VOCAB = 5


def distributions(seed: int, *shape: int) -> torch.Tensor:
    """Some of them with zeros, as filters leave them."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(*shape, VOCAB, generator=generator, dtype=torch.float64) + 0.02
    weights *= torch.rand(weights.shape, generator=generator) > 0.25
    weights[..., 0] += 0.1
    return weights / weights.sum(-1, keepdim=True)


def one(
    p: torch.Tensor, q: torch.Tensor, drafts: list[int], u: list[float]
) -> tuple[int, torch.Tensor]:
    """A single row: accepted drafts, and the normalised law of the next token."""
    k = len(drafts)
    judged = verify_ratio(
        p[None],
        q[None],
        torch.tensor([drafts]),
        torch.tensor([k]),
        torch.tensor([u], dtype=torch.float64),
    )
    weights = judged.weights[0]
    return int(judged.num_accepted), weights / weights.sum()


@pytest.mark.parametrize(
    ("drafts", "drawn", "expected"),
    [
        ([], [4], 0),
        ([1], [1, 7], 1),
        ([1], [2, 7], 0),
        ([1, 2, 3], [1, 2, 3, 9], 3),
        ([1, 2, 3], [1, 5, 3, 9], 1),  # agreement behind a mismatch counts for nothing
        ([1, 1, 1], [1, 1, 2, 1], 2),
    ],
)
def test_match_counts_leading_agreement(drafts: list[int], drawn: list[int], expected: int) -> None:
    assert match_length(drafts, drawn) == expected


@pytest.mark.parametrize("seed", range(20))
def test_one_draft_leaves_the_targets_distribution(seed: int) -> None:
    """Sum over drafts of q(d) * (accepted: d; rejected: residual), enumerated, is p exactly."""
    p, q = distributions(seed, 2), distributions(seed + 1000, 1)
    law = torch.zeros(VOCAB, dtype=torch.float64)
    for d in range(VOCAB):
        if q[0, d] == 0:
            continue
        accept = min(1.0, float(p[0, d] / q[0, d]))
        if accept > 0:
            n, bonus = one(p, q, [d], [accept * (1 - 1e-9)])
            assert n == 1
            torch.testing.assert_close(bonus, p[1])
            law[d] += q[0, d] * accept
        if accept < 1:
            n, residual = one(p, q, [d], [accept * (1 + 1e-9)])
            assert n == 0
            law += q[0, d] * (1 - accept) * residual
    torch.testing.assert_close(law, p[0], rtol=0, atol=1e-8)


@pytest.mark.parametrize("seed", range(8))
def test_two_drafts_leave_the_joint_distribution(seed: int) -> None:
    """p and q of the second position depend on the first token; the pair's law is p(x) p(y | x)."""
    p1, p2 = distributions(seed, 1)[0], distributions(seed + 1, VOCAB)
    q1, q2 = distributions(seed + 2, 1)[0], distributions(seed + 3, VOCAB)
    p3 = distributions(seed + 4, 1)[0]
    law = torch.zeros(VOCAB, VOCAB, dtype=torch.float64)
    for d1, d2 in itertools.product(range(VOCAB), repeat=2):
        weight = float(q1[d1] * q2[d1, d2])
        if weight == 0:
            continue
        p, q = torch.stack([p1, p2[d1], p3]), torch.stack([q1, q2[d1]])
        a1 = min(1.0, float(p1[d1] / q1[d1]))
        a2 = min(1.0, float(p2[d1, d2] / q2[d1, d2]))
        if a1 < 1:
            n, residual = one(p, q, [d1, d2], [a1 * (1 + 1e-9) + 1e-300, 0.0])
            assert n == 0
            law += weight * (1 - a1) * residual[:, None] * p2  # the second comes with the next step
        if a1 > 0 and a2 < 1:
            n, residual = one(p, q, [d1, d2], [0.0, a2 * (1 + 1e-9) + 1e-300])
            assert n == 1
            law[d1] += weight * a1 * (1 - a2) * residual
        if a1 > 0 and a2 > 0:
            n, bonus = one(p, q, [d1, d2], [0.0, 0.0])
            assert n == 2
            torch.testing.assert_close(bonus, p3)
            law[d1, d2] += weight * a1 * a2
    torch.testing.assert_close(law, p1[:, None] * p2, rtol=0, atol=1e-8)


def test_padding_is_rejected_and_draws_from_p() -> None:
    """Rows of two, one and no drafts in one call; padded q would otherwise accept or subtract."""
    p, q = distributions(0, 3, 3), distributions(1, 3, 2)
    p[:] = p[0]
    q[:] = p[0, :2]  # equal, so every real draft is accepted
    q[1, 1] = q[2] = 0.0
    judged = verify_ratio(
        p,
        q,
        torch.zeros(3, 2, dtype=torch.int64),
        torch.tensor([2, 1, 0]),
        torch.full((3, 2), 0.999),
    )
    assert judged.num_accepted.tolist() == [2, 1, 0]
    for row, n in enumerate((2, 1, 0)):
        torch.testing.assert_close(judged.weights[row], p[row, n])


def test_a_draft_the_target_forbids_is_rejected_whatever_the_coin() -> None:
    p = torch.tensor([[0.0, 1.0], [0.5, 0.5]], dtype=torch.float64)
    q = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    n, residual = one(p, q, [0], [0.0])
    assert (n, residual.tolist()) == (0, [0.0, 1.0])


def test_a_rejection_by_rounding_draws_from_p() -> None:
    """p a rounding error below q everywhere: there is no residual to draw from."""
    q = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    p = torch.cat([q * (1 - 1e-15), q])
    n, law = one(p, q, [0], [1 - 1e-16])
    assert n == 0
    torch.testing.assert_close(law, q[0])
