import torch
from reply_batches import CLOSE, gradient_of, normal, over_rows, reply_batch

from fairlead.functional.reductions import segment_sum
from fairlead.objectives.nash_md import NashMD
from fairlead.training.credit import NashMD as NashMDCredit
from fairlead.training.credit import Sampled


def test_gradient_is_that_of_the_published_form() -> None:
    """Per reply: coefficient * sum of fixed d_t * logp_t - (P - 1/2) * sum of logp_t."""
    lengths, beta = [3, 1], 0.1
    logp, reference = normal(0, 4), normal(1, 4)
    wins = torch.tensor([0.9, 0.3]).double()
    leaf = logp.clone().requires_grad_()
    owner = torch.tensor([0, 0, 0, 1])
    pull = segment_sum((logp - reference) * leaf, owner, 2)
    published = (beta * pull - (wins - 0.5) * segment_sum(leaf, owner, 2)).mean()
    (expected,) = torch.autograd.grad(published, leaf)

    advantages = over_rows(wins - 0.5, lengths) - beta * (logp - reference)
    batch = reply_batch(lengths, old_logps=logp, advantages=advantages)
    torch.testing.assert_close(gradient_of(NashMD(), logp, batch), expected, **CLOSE)


def test_its_credit_is_the_chance_of_winning_less_the_penalty() -> None:
    mask = torch.tensor([[True, True], [True, False]])
    zeros = torch.zeros(2, 2)
    credit = NashMDCredit()(
        Sampled(
            scores=torch.tensor([0.75, 0.5]),
            mask=mask,
            logp=torch.tensor([[-1.0, -2.0], [-1.0, 0.0]]),
            reference=torch.tensor([[-1.5, -1.0], [-1.0, 9.0]]),
            values=zeros,
            token_rewards=zeros,
            group=torch.tensor([0, 1]),
            tokens=zeros.long(),
            kl_coefficient=0.1,
        )
    )
    # 0.25 - 0.1 * 0.5, 0.25 + 0.1 * 1; even odds and no distance give nothing.
    torch.testing.assert_close(credit.advantages, torch.tensor([[0.2, 0.35], [0.0, 0.0]]))
