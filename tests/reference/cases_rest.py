"""Cases of supervised fine-tuning and of best-of-n: `sft.*`, `dec.*`."""

import torch

from .packs import loss_of, rollouts, shown_where
from .registry import Inputs, Outputs, case


@case("sft.nll")
def sft(given: Inputs) -> Outputs:
    from fairlead.data.batches import sequence_batch
    from fairlead.data.chat import Item
    from fairlead.functional.logps import linear_token_logps
    from fairlead.objectives.replies import reply_means, reply_sums
    from fairlead.objectives.sft import SFT, sft_loss

    logits, mask = given["logits"], given["mask"].bool()
    unit = torch.eye(logits.shape[-1], dtype=logits.dtype)
    labels = given["labels"].long().flatten()
    logps, _ = linear_token_logps(logits.flatten(0, 1), unit, labels)
    table = logps.reshape(mask.shape)
    batch = sequence_batch([Item((1,), (tuple(range(n)),)) for n in mask.sum(1).tolist()])
    replies, losses = rollouts(mask), sft_loss(table[mask])
    return {
        "token_logps": shown_where(mask, table),
        "token_mean": loss_of(SFT(), batch, logps=table[mask])[0],
        "seq_mean": reply_means(losses, replies).mean(),
        "seq_sum": reply_sums(losses, replies).mean(),
    }


@case("dec.bon")
def best_of_n(given: Inputs) -> Outputs:
    from fairlead.stats.best_of_n import best_of_n_kl_bound, expected_best_of_n

    wanted, samples = given["n_values"].long().tolist(), len(given["proxy"])
    proxy, gold = given["proxy"].numpy(), given["gold"].numpy()
    return {
        "kl_upper_bound": {str(n): best_of_n_kl_bound(n) for n in wanted},
        "expected_gold": {
            str(n): expected_best_of_n(proxy, gold, n) for n in wanted if n <= samples
        },
    }
