"""Cases of supervised fine-tuning and of decoding: `sft.*`, `dec.*`."""

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


@case("dec.args")
def args(given: Inputs) -> Outputs:
    from fairlead.decoding.tokenwise import Rule

    logits, rewards = given["topk_logits"][None], given["topk_rewards"][None]
    rule = Rule(logits.shape[1], given["w"], given["temperature"], 1)
    greedy = Rule(logits.shape[1], given["w"], 0.0, 1)
    return {
        "scores": rule.scores(logits, rewards)[0],
        "greedy_index": int(greedy.choose(logits, rewards, torch.zeros(1))),
        "stochastic_probs": rule.logps(logits, rewards).exp()[0],
    }


@case("dec.cards")
def cards(given: Inputs) -> Outputs:
    from fairlead.decoding.cards import CARDS
    from fairlead.decoding.segments import entropies
    from fairlead.generation.sampling import Sampling

    own = CARDS(
        goal=given["reward_goal"],
        alpha=given["alpha"],
        beta=given["beta"],
        entropy=given["entropy_threshold"],
        sampling=Sampling(max_new_tokens=given["max_new_tokens"]),
    )
    start = own.first_threshold(given["reward_prompt"])
    bars = [own.threshold(start, int(tokens)) for tokens in given["tokens_generated"]]
    scores = given["candidate_rewards"].tolist()
    chances = [own.acceptance(score, bar) for score, bar in zip(scores, bars, strict=True)]
    entropy = float(entropies(given["next_token_logits"][None]))
    return {
        "start_threshold": start,
        "thresholds": torch.tensor(bars),
        "accept_prob": torch.tensor(chances),
        "entropy": entropy,
        "segment_ends": entropy >= own.entropy,
    }


@case("dec.controlled_decoding")
def controlled(given: Inputs) -> Outputs:
    from fairlead.decoding.search import Plan, _Beam, _kept
    from fairlead.decoding.tokenwise import Rule
    from fairlead.decoding.value import PrefixValue, ValuedItem, value_batch
    from fairlead.generation.sampling import Sampling
    from fairlead.objectives import Scores

    logps, values = given["base_logps"][None], given["values"][None]
    mask = given["mask"].bool()
    items = [
        ValuedItem((1,), ((1,) * int(own.sum()),), reward=float(reward))
        for own, reward in zip(mask, given["final_reward"], strict=True)
    ]
    batch = value_batch(items)
    blocks = [_Beam((k,), None, value) for k, value in enumerate(given["block_values"].tolist())]
    (best,) = _kept(blocks, Plan(Sampling(max_new_tokens=1), 1, len(blocks), 1), first=True)
    # Per token here, per reply in the paper.
    loss = PrefixValue()(Scores(rewards=given["prefix_values"][mask]), batch, batch.totals()).value
    return {
        "token_policy": Rule(logps.shape[1], given["lambda"], 1.0, 1).logps(logps, values).exp()[0],
        "fudge_loss": loss * int(mask.sum()) / len(items),
        "blockwise_choice": best.tokens[0],
    }
