"""Search over chunks of a reply: draw on from the beams, score what has begun, keep the best.

What the decoders that search by chunks or lines share.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fairlead.core.seeds import Seed
from fairlead.data.chat import Ids
from fairlead.decoding.base import Decoded, Models, Spent
from fairlead.decoding.judging import judged
from fairlead.decoding.speaking import Speaker, cut_at_stop, drawing
from fairlead.generation.local import check_room, room_of
from fairlead.generation.rows import Asked
from fairlead.generation.sampling import Finish, Rollout, Sampling
from fairlead.records import Prompt
from fairlead.rewards.base import Reply

LINE = "\n"


@dataclass(frozen=True)
class Plan:
    """How a search goes on."""

    sampling: Sampling
    """How tokens are drawn, and where the whole reply ends."""
    width: int
    """Beams kept."""
    expansions: int
    """Continuations drawn from each beam."""
    chunk: int
    """Longest continuation, in tokens."""
    lines: bool = False
    """Whether a continuation also ends with the line."""
    per_parent: int | None = None
    """Continuations of one beam kept at most; None for no limit. The first chunk has one parent and
    no limit."""

    def of_chunk(self, limit: int) -> Sampling:
        """How a continuation of at most so many tokens is drawn."""
        stop = (*self.sampling.stop, LINE) if self.lines else self.sampling.stop
        return self.sampling.model_copy(update={"max_new_tokens": limit, "stop": stop})


@dataclass(frozen=True)
class _Beam:
    tokens: Ids = ()
    finish: Finish | None = None
    """How the reply ended; None while it goes on."""
    score: float | None = None
    """What the guide said; None while it has not been asked."""
    parent: int = 0
    """Which beam of the chunk before it continues."""


@dataclass
class _Tree:
    """The beams of one prompt."""

    prompt: Prompt
    ids: Ids
    beams: list[_Beam] = field(default_factory=lambda: [_Beam()])
    spent: Spent = field(default_factory=Spent)
    parents: list[int] = field(default_factory=list[int])
    """How many beams had continuations that were kept, chunk by chunk."""

    @property
    def grows(self) -> bool:
        return any(beam.finish is None for beam in self.beams)


def search(models: Models, prompts: Sequence[Prompt], plan: Plan, *, seed: Seed) -> list[Decoded]:
    """The best finished beam of each prompt.

    The first chunk's continuations are drawn as plain samples are, from `seed.child(place,
    sample)`; those of later chunks from `seed.child("chunk", chunk, place · width + beam, sample)`.
    Every beam is read anew for its next chunk, which is counted.

    Raises:
        DataError: a prompt leaves no room for a reply.
        ConfigError: a prompt with a whole reply passes the model's context.
    """
    speaker = Speaker(models.policy)
    trees = [_Tree(p, ids) for p, ids in zip(prompts, speaker.ids(prompts), strict=True)]
    longest = plan.sampling.max_new_tokens
    check_room([tree.ids for tree in trees], longest, room_of(models.policy))
    chunk = 0
    while growing := [place for place, tree in enumerate(trees) if tree.grows]:
        own = seed if chunk == 0 else seed.child("chunk", chunk)
        # All start as one beam, numbered as plain samples are.
        drawn = _drawn(speaker, trees, plan, plan.width if chunk else 1, own)
        fans = [_fan(speaker, trees[place], place, plan, drawn) for place in growing]
        _judge(speaker, models, [trees[place] for place in growing], fans)
        for place, fan in zip(growing, fans, strict=True):
            trees[place].beams = _kept(fan, plan, first=chunk == 0)
            trees[place].parents.append(len({beam.parent for beam in trees[place].beams}))
        chunk += 1
    return _answers(speaker, models, trees)


def _drawn(
    speaker: Speaker, trees: Sequence[_Tree], plan: Plan, beams: int, seed: Seed
) -> Mapping[tuple[int, int], Sequence[Rollout]]:
    """Continuations of every beam that goes on, by (tree, beam), where trees have so many beams."""
    rows: dict[int, list[Asked]] = {}
    for place, tree in enumerate(trees):
        for number, beam in enumerate(tree.beams):
            if beam.finish is None:
                limit = min(plan.chunk, plan.sampling.max_new_tokens - len(beam.tokens))
                begun = (*tree.ids, *beam.tokens)
                rows.setdefault(limit, []).extend(
                    Asked(place * beams + number, k, begun) for k in range(plan.expansions)
                )
    found: dict[tuple[int, int], list[Rollout]] = {}
    for limit, asked in sorted(rows.items()):
        for rollout in speaker.engine.draw(asked, plan.of_chunk(limit), seed=seed):
            place, number = divmod(rollout.prompt_index, beams)
            found.setdefault((place, number), []).append(rollout)
    return found


def _fan(
    speaker: Speaker,
    tree: _Tree,
    place: int,
    plan: Plan,
    drawn: Mapping[tuple[int, int], Sequence[Rollout]],
) -> list[_Beam]:
    """Everything that may be kept: finished beams, and one of each different continuation."""
    fan: dict[Ids, _Beam] = {}
    for number, beam in enumerate(tree.beams):
        if beam.finish is not None:
            fan.setdefault(beam.tokens, replace(beam, parent=number))
            continue
        rollouts = drawn[place, number]
        lengths = [len(rollout.tokens) for rollout in rollouts]
        tree.spent += drawing(len(tree.ids) + len(beam.tokens), lengths)
        for rollout in rollouts:
            grown = _grown(speaker, beam, rollout, plan)
            fan.setdefault(grown.tokens, replace(grown, parent=number))
    return list(fan.values())


def _grown(speaker: Speaker, beam: _Beam, rollout: Rollout, plan: Plan) -> _Beam:
    tokenizer, stop = speaker.policy.tokenizer, plan.sampling.stop
    more, stopped = cut_at_stop(beam.tokens, rollout.tokens, stop, tokenizer)
    tokens = (*beam.tokens, *more)
    finish: Finish | None = None
    if stopped:
        finish = "stop"
    elif rollout.finish == "eos":
        finish = "eos"
    elif len(tokens) == plan.sampling.max_new_tokens:
        finish = "length"
    return _Beam(tokens, finish)


def _judge(
    speaker: Speaker, models: Models, trees: Sequence[_Tree], fans: Sequence[list[_Beam]]
) -> None:
    """Scores what has not been scored yet, prompt by prompt, and charges it."""
    fresh = [
        (tree, fan, i)
        for tree, fan in zip(trees, fans, strict=True)
        for i, beam in enumerate(fan)
        if beam.score is None
    ]
    replies = [_reply(speaker, tree, fan[i]) for tree, fan, i in fresh]
    for (tree, fan, i), (score, cost) in zip(fresh, judged(models.guide, replies), strict=True):
        fan[i] = replace(fan[i], score=score)
        tree.spent += cost


def _kept(fan: Iterable[_Beam], plan: Plan, *, first: bool) -> list[_Beam]:
    """The best of a fan; of equals the first."""
    kept: list[_Beam] = []
    limit = None if first else plan.per_parent
    for beam in sorted(fan, key=_score, reverse=True):
        siblings = sum(other.parent == beam.parent for other in kept)
        if len(kept) < plan.width and (limit is None or siblings < limit):
            kept.append(beam)
    return kept


def _answers(speaker: Speaker, models: Models, trees: Sequence[_Tree]) -> list[Decoded]:
    """The beam of each prompt that the reward likes best."""
    if models.prefix is not None:
        fans = [[replace(beam, score=None) for beam in tree.beams] for tree in trees]
        _judge(speaker, replace(models, prefix=None), trees, fans)
        for tree, fan in zip(trees, fans, strict=True):
            tree.beams = fan
    answers: list[Decoded] = []
    for tree in trees:
        best = max(tree.beams, key=_score)
        counts = {
            "chunks": float(len(tree.parents)),
            "parents": sum(tree.parents) / len(tree.parents),
        }
        answers.append(Decoded(_reply(speaker, tree, best), best.score, tree.spent, counts))
    return answers


def _reply(speaker: Speaker, tree: _Tree, beam: _Beam) -> Reply:
    return speaker.reply(tree.prompt, tree.ids, beam.tokens, beam.finish or "length")


def _score(beam: _Beam) -> float:
    assert beam.score is not None
    return beam.score
