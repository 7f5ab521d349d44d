"""`fairlead feedback collect`: a policy's replies go to people."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli.shell import Json, err, escaped, for_people, out, print_json

if TYPE_CHECKING:
    from fairlead.feedback.rounds import RoundState
    from fairlead.pipeline.feedback_round import AskedRound


@for_people
def collect(
    policy: Annotated[str, typer.Option("--policy", help="Folder or hub name of a policy.")],
    campaign: Annotated[str, typer.Option("--campaign", help="Name, project/name or number.")],
    db: Annotated[str, typer.Option("--db", help="SQLite file or postgresql://...")] = "labels.db",
    data: Annotated[
        str | None, typer.Option("--data", help="Records with prompts; else the campaign's own.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until everything is answered.")
    ] = False,
    every: Annotated[float, typer.Option("--every", help="Seconds between looks.", min=0.1)] = 30.0,
    samples: Annotated[int, typer.Option("--samples", help="Replies per prompt.", min=1)] = 2,
    budget: Annotated[int | None, typer.Option("--budget", help="Items at most.", min=1)] = None,
    strategy: Annotated[
        str, typer.Option("--strategy", help="random, rm_margin, judge_disagreement or rlthf.")
    ] = "random",
    random_share: Annotated[
        float, typer.Option("--random-share", help="Share of the budget drawn at random.")
    ] = 0.2,
    reward: Annotated[
        list[str] | None, typer.Option("--reward", help="Reward model to select by; repeatable.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option("--judge", help="Reward model that gives the AI labels.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(help="Longest reply, in tokens.")] = 256,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="Root of everything random.")] = 0,
    as_json: Json = False,
) -> None:
    """Sample a policy on prompts and open a round of a campaign with its replies.

    The same command again changes nothing that was handed out; it says how far the round is.
    `fairlead feedback export` writes the answers.
    """
    from pydantic import ValidationError

    from fairlead.core.errors import ConfigError
    from fairlead.core.seeds import Seed
    from fairlead.data.convert import prompts
    from fairlead.data.readers import read
    from fairlead.feedback.permissions import LOCAL
    from fairlead.feedback.rounds import campaign_prompts
    from fairlead.generation.sampling import Sampling
    from fairlead.pipeline.feedback_round import Asking, Desk, ask

    try:
        asking = Asking(
            samples=samples,
            budget=budget,
            strategy=strategy,  # pyright: ignore[reportArgumentType]
            random_share=random_share,
            rewards=tuple(reward or ()),
            judge=judge,
            sampling=Sampling(max_new_tokens=max_new_tokens, temperature=temperature),
        )
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError("these settings cannot work", got=faults) from error
    desk = Desk.at(db, campaign)
    try:
        if data is None:
            asked_of = campaign_prompts(desk.store, LOCAL, desk.campaign.id)
        else:
            asked_of = prompts(read(data, strict=True).records)
        if not asked_of:
            raise ConfigError(
                "this campaign has no prompts yet",
                where=f"campaign {desk.campaign.name}",
                remedy="name records with prompts: --data FILE",
            )
        asked = ask(asking, policy, asked_of, desk.campaign, Seed(seed).child("collect"))
        added = desk.open(asked)
        state = desk.state(asked)
        if wait:
            state = desk.wait(asked, every=every, say=lambda line: err.print(escaped(line)))
    finally:
        desk.store.close()
    if as_json:
        print_json(_summary(asked, added, state))
        return
    out.print(f"campaign {state.campaign} ({state.state}): {state}; {added} items are new")


def _summary(asked: "AskedRound", added: int, state: "RoundState") -> dict[str, Any]:
    return {
        "campaign": state.campaign,
        "state": state.state,
        "items": state.items,
        "added": added,
        "done": state.done,
        "dropped": state.dropped,
        "answers": state.answers,
        "wanted": state.wanted,
        "complete": state.complete,
        "pool": asked.pool,
        "left_out": asked.left_out,
        "strategy": asked.batch.strategy,
        "model_sha256": asked.batch.model_sha256,
        "params": asked.batch.params,
    }
