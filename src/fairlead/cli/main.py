"""The `fairlead` command: parses, calls, prints. Everything it does is a function elsewhere."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from fairlead import __version__
from fairlead.cli.constitution import app as constitution_app
from fairlead.cli.feedback import app as feedback_app
from fairlead.cli.serve import serve
from fairlead.cli.shell import Json, ending, err, escaped, for_people, out, print_json, quiet
from fairlead.core.errors import ConfigError

app = typer.Typer(
    help="Align language models with people's preferences and measure whether it worked.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
evaluate_app = typer.Typer(help="Measure a trained model.", no_args_is_help=True)
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(feedback_app, name="feedback")
app.add_typer(constitution_app, name="constitution")
app.command()(serve)

ERROR = 3
"""Exit code of an error where 1 and 2 say something else."""

Overrides = Annotated[list[str] | None, typer.Argument(help="Settings as a.b=value.")]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")]
Seed = Annotated[int, typer.Option("--seed", help="Root of everything random.")]
Profiled = Annotated[
    bool, typer.Option("--profile", help="Say where the time went; trace a few steps per stage.")
]


def _version(shown: bool) -> None:
    if shown:
        out.print(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Align language models with people's preferences and measure whether it worked."""


@app.command()
@for_people
def quickstart(
    seed: Seed = 0, out_dir: Out = None, resume: Resume = False, profile: Profiled = False
) -> None:
    """Run the whole loop on a small world: SFT, reward model, DPO, PPO, best-of-n, report."""
    quiet()
    from fairlead.pipeline.quickstart import quickstart as recipe

    folder = out_dir or Path("runs") / f"quickstart-{seed}"
    _run(recipe(seed), folder, resume, profile=profile)
    _summary(folder)


@app.command()
@for_people
def run(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (YAML).")],
    overrides: Overrides = None,
    out_dir: Out = None,
    resume: Resume = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved plan and its cost; run nothing.")
    ] = False,
    record: Annotated[
        bool, typer.Option("--record", help="Keep what is sampled during training.")
    ] = False,
    replay: Annotated[
        Path | None,
        typer.Option("--replay", help="Take rollouts recorded in this run, and compare."),
    ] = None,
    profile: Profiled = False,
) -> None:
    """Run a recipe; stages that are unchanged are not run again."""
    quiet()
    from fairlead.pipeline.plan import plan
    from fairlead.pipeline.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    folder = out_dir or Path("runs") / loaded.name
    if dry_run:
        out.print(plan(loaded, folder))
        return
    _run(loaded, folder, resume, record=record, replay=replay, profile=profile)
    _summary(folder)


def _run(
    recipe: Any,
    folder: Path,
    resume: bool,
    *,
    record: bool = False,
    replay: Path | None = None,
    profile: bool = False,
) -> None:
    from fairlead.cli.profile import shown
    from fairlead.models.processes import is_first
    from fairlead.pipeline.profile import profiling, read_profile
    from fairlead.pipeline.runner import Recording, run_recipe

    with profiling(folder) if profile else nullcontext():
        page = run_recipe(
            recipe,
            folder,
            resume=resume,
            recording=Recording(record, replay),
            say=lambda line: err.print(escaped(line)),
        )
    if profile and is_first():
        out.print(shown(read_profile(folder), folder))
    out.print(f"report: {page}")


def _summary(folder: Path) -> None:
    from fairlead.report import report_json

    for estimate in report_json(folder)["estimates"]:
        numbers = [estimate[k] for k in ("value", "low", "high")]
        value, low, high = ("-" if n is None else f"{n:.3f}" for n in numbers)
        out.print(
            f"{estimate['name']:<34} {value:>8}  [{low}, {high}]  n={estimate['n']}".replace(
                "[", r"\["
            )
        )


@app.command()
@for_people
def iterate(
    recipe: Annotated[Path, typer.Argument(help="Recipe with a rounds section (YAML).")],
    overrides: Overrides = None,
    rounds: Annotated[
        int | None, typer.Option("--rounds", help="How many; the recipe's.", min=1)
    ] = None,
    out_dir: Out = None,
    resume: Resume = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for people instead of stopping.")
    ] = False,
    every: Annotated[float, typer.Option("--every", help="Seconds between looks.", min=0.1)] = 30.0,
) -> None:
    """Run rounds of labels, reward model and policy, each from the last round's policy.

    Where people label, it stops after handing out a round, with exit code 3; --resume goes on.
    """
    quiet()
    from fairlead.pipeline.iterating import iterate as run_rounds
    from fairlead.pipeline.iterating import load_rounds
    from fairlead.pipeline.stage import LabelsPending

    loaded = load_rounds(recipe, overrides or [], rounds)
    folder = out_dir or Path("runs") / loaded.name
    try:
        page = run_rounds(
            loaded,
            folder,
            resume=resume,
            wait=wait,
            every=every,
            say=lambda line: err.print(escaped(line)),
        )
    except LabelsPending as waiting:
        out.print(f"{waiting.where}: {waiting.got}", markup=False)
        out.print("go on with the same command and --resume", markup=False)
        raise typer.Exit(3) from waiting
    out.print(f"report: {page}")
    _summary(folder)


@app.command()
@for_people
def compare(
    recipe: Annotated[Path, typer.Argument(help="Recipe with an evaluate stage (YAML).")],
    overrides: Overrides = None,
    methods: Annotated[
        str | None, typer.Option("--methods", help="Names, with commas; all of the recipe's.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="How many.", min=1)] = 1,
    token_passes: Annotated[
        int | None, typer.Option("--token-passes", help="Work that each method may do.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", help="Seeds at once.", min=1)] = 1,
    out_dir: Out = None,
    as_json: Json = False,
) -> None:
    """Put methods side by side: the same data and budget, several seeds, one table and figure."""
    quiet()
    from fairlead.pipeline.compare import compare as compare_methods
    from fairlead.pipeline.recipe import load_recipe
    from fairlead.report.comparison import markdown, write_comparison

    loaded = load_recipe(recipe, overrides or [])
    folder = out_dir or Path("runs") / f"{loaded.name}-compared"
    comparison = compare_methods(
        loaded,
        methods.split(",") if methods else None,
        seeds=seeds,
        folder=folder,
        budget=token_passes,
        jobs=jobs,
        say=lambda line: err.print(escaped(line)),
    )
    page = write_comparison(comparison, folder)
    if as_json:
        print_json(comparison.model_dump(mode="json"))
    else:
        out.print(markdown(comparison), markup=False)
        out.print(f"comparison: {page}", markup=False)


@app.command()
@for_people
def verify(
    run_dir: Annotated[Path, typer.Argument(help="Run folder.")], as_json: Json = False
) -> None:
    """Check every file of a run against its recorded hashes, from the policy back to the data."""
    from fairlead.lineage import verify as verify_run

    result = verify_run(run_dir)
    if as_json:
        print_json({**result.model_dump(mode="json"), "ok": result.ok})
    else:
        out.print(str(result), markup=False)
    if not result.ok:
        raise typer.Exit(1)


@app.command()
@for_people
def report(
    run_dir: Annotated[Path, typer.Argument(help="Run folder; for --check also a stored report.")],
    as_json: Json = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown only.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Compute the verdict anew from the stored numbers.")
    ] = False,
    evidence: Annotated[
        Path | None,
        typer.Option("--evidence", help="Folder for model card, datasheet and bill of materials."),
    ] = None,
) -> None:
    """Write the report of a run as one HTML page, or print its numbers.

    With --check, exit code 0: SHIP; 1: DO NOT SHIP; 2: NOT ENOUGH EVIDENCE; 3: stored verdicts
    do not follow from their numbers, or there are none.
    """
    from fairlead.report import report_json, report_markdown, write_evidence, write_report

    if check:
        _check(run_dir)
    elif as_json:
        print_json(report_json(run_dir))
    elif as_markdown:
        out.print(report_markdown(run_dir), markup=False, highlight=False, end="")
    elif evidence is not None:
        for path in write_evidence(run_dir, evidence):
            out.print(str(path), markup=False)
    else:
        out.print(str(write_report(run_dir)), markup=False)


@ending(ERROR)
def _check(path: Path) -> None:
    from fairlead.core.gates import EXIT_CODES
    from fairlead.report import check

    found = check(path)
    for problem in found.problems:
        err.print(f"not so: {problem}", markup=False, highlight=False)
    if found.problems:
        raise typer.Exit(ERROR)
    out.print(f"{found.decision}, from {found.gates} gates", markup=False, highlight=False)
    raise typer.Exit(EXIT_CODES[found.decision])


@app.command()
@for_people
def diagnose(
    run_dir: Annotated[Path, typer.Argument(help="Run folder.")], as_json: Json = False
) -> None:
    """Say whether data, SFT, the reward model or RL is at fault, and what to do about it.

    Exit code 0: no fault found; 1: a fault was found; 3: not enough was measured to tell.
    """
    from fairlead.cli.diagnose import exit_code, shown
    from fairlead.report.diagnose import diagnose as find_fault

    diagnosis = find_fault(run_dir)
    if as_json:
        print_json(diagnosis.model_dump(mode="json"))
    else:
        out.print(shown(diagnosis))
        out.print(f"fault: {diagnosis.fault}", markup=False, highlight=False)
    if code := exit_code(diagnosis):
        raise typer.Exit(code)


@app.command()
@for_people
def inspect(
    data: Annotated[str, typer.Argument(help="File, folder or hub name.")],
    format: Annotated[str, typer.Option(help="Format; auto goes by the fields.")] = "auto",
    strict: Annotated[bool, typer.Option(help="Stop at the first malformed row.")] = False,
    as_json: Json = False,
) -> None:
    """Say what is in a data set: counts, lengths, duplicates, ties, how often longer wins."""
    from fairlead.data.inspect import inspect as inspect_data
    from fairlead.data.inspect import render
    from fairlead.data.readers import read

    inspection = inspect_data(read(data, format, strict=strict))
    if as_json:
        print_json(inspection.model_dump(mode="json"))
    else:
        out.print(render(inspection))


@app.command()
@for_people
def doctor(as_json: Json = False) -> None:
    """Say which versions and devices are here, what is missing, and what to do about it."""
    from fairlead.cli.doctor import doctor as diagnose
    from fairlead.cli.doctor import render

    diagnosis = diagnose()
    if as_json:
        print_json(diagnosis.model_dump(mode="json"))
    else:
        out.print(render(diagnosis), markup=False)


@app.command()
@for_people
def methods(as_json: Json = False) -> None:
    """List every method: what it is called in recipes, what it needs, where it comes from."""
    from fairlead.cli.methods import listed, tables

    if as_json:
        print_json(listed())
    else:
        out.print(tables())


@app.command()
@for_people
def generate(
    model: Annotated[str, typer.Argument(help="Folder or hub name of a policy.")],
    prompts: Annotated[list[str] | None, typer.Argument(help="What to ask; else --data.")] = None,
    data: Annotated[str | None, typer.Option(help="Records whose prompts are answered.")] = None,
    n: Annotated[int, typer.Option(help="Replies per prompt.")] = 1,
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Longest reply, in tokens; 128.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="0 takes the likeliest token; 1.")
    ] = None,
    top_p: Annotated[float | None, typer.Option(help="Keep this much probability; all.")] = None,
    top_k: Annotated[
        int | None, typer.Option(help="Keep so many tokens; 0, the default, keeps all.")
    ] = None,
    stop: Annotated[list[str] | None, typer.Option(help="Text that ends a reply.")] = None,
    decoder: Annotated[
        str | None, typer.Option(help="best_of_n, beam, args, cards... as docs/decoding.md says.")
    ] = None,
    reward: Annotated[
        str | None, typer.Option(help="Folder of the reward model a decoder goes by.")
    ] = None,
    value: Annotated[
        str | None, typer.Option(help="Folder of a value model, for replies under way.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Setting of the decoder, e.g. n=16.")
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Sample replies from a policy, or choose them by a reward with --decoder."""
    quiet()
    from fairlead.cli.generate import chosen, price, replies

    asked = replies(
        model,
        prompts or [],
        data,
        n=n,
        seed=seed,
        decoder=chosen(decoder, reward, value, settings or []),
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        stop=tuple(stop) if stop else None,
    )
    if as_json:
        print_json(asked)
        return
    for row in asked:
        out.print(f"> {row['prompt']}", markup=False, style="bold")
        for text in row["replies"]:
            out.print(text, markup=False)
        for decoded in row.get("decoded", ()):
            out.print(price(decoded), markup=False, style="dim")


@app.command()
@for_people
def redteam(
    model: Annotated[str, typer.Argument(help="Folder or hub name of a policy.")],
    behaviours: Annotated[str, typer.Option("--behaviours", help="Harmful requests.")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(help="Settings of the stage, e.g. sampling.max_new_tokens=64."),
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", help="A policy to compare with, attacked alike.")
    ] = None,
    harmless: Annotated[
        str | None, typer.Option("--harmless", help="Harmless requests, for over-refusal.")
    ] = None,
    attacks: Annotated[
        str | None, typer.Option("--attacks", help="Names, with commas; see docs/redteam.md.")
    ] = None,
    attacker: Annotated[
        str | None, typer.Option("--attacker", help="A model that rewords requests.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option("--judge", help="A model that says whether a reply does harm.")
    ] = None,
    out_dir: Out = None,
    seed: Seed = 0,
    resume: Resume = False,
) -> None:
    """Attack a policy: how often harm comes out, and what it refuses without need.

    A judge or attacker is a model, a YAML file, or YAML such as {kind: server, server: {...}}.
    """
    quiet()
    from fairlead.cli.redteam import red_team_recipe

    recipe = red_team_recipe(
        model,
        against=against,
        behaviours=behaviours,
        harmless=harmless,
        attacks=attacks,
        attacker=attacker,
        judge=judge,
        seed=seed,
        settings=settings or [],
    )
    folder = out_dir or Path("runs") / recipe.name
    _run(recipe, folder, resume)
    _summary(folder)
    out.print(f"finds: {folder / 'stages' / 'red-team' / 'finds.jsonl'}", markup=False)


@app.command()
@ending(ERROR)
def audit(
    model: Annotated[
        str | None, typer.Argument(help="Folder, hub name or server: what may ship.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Argument(help="Settings of the stage, e.g. judge.model=...")
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", help="The baseline that it is held against.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="YAML with the audits and their margins.")
    ] = None,
    out_dir: Out = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Root of everything random.")] = None,
    resume: Resume = False,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Plant defects, and see whether audits find them.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Of the self-test: this planted defect.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Audit a model: exit code 0 SHIP, 1 DO NOT SHIP, 2 NOT ENOUGH EVIDENCE, 3 an error."""
    quiet()
    if self_test:
        _prove(seed or 0, only or [], as_json)
        return
    if model is None or against is None or recipe is None:
        raise ConfigError(
            "an audit needs a model, a baseline and a recipe",
            where="fairlead audit",
            expected="fairlead audit MODEL --against BASELINE --recipe audit.yaml",
            remedy="add what is missing, or use --self-test to test the audits themselves",
        )
    from fairlead.cli.audit import STAGE, audit_recipe, gate_table
    from fairlead.core.gates import EXIT_CODES, decide
    from fairlead.core.results import read_result

    loaded = audit_recipe(model, against=against, recipe=recipe, seed=seed, settings=settings or [])
    folder = out_dir or Path("runs") / loaded.name
    _run(loaded, folder, resume)
    result = read_result(folder / "stages" / STAGE)
    gates = [gate for finding in result.findings for gate in finding.gates]
    decision = decide(gates)
    if as_json:
        print_json({"decision": decision, "gates": [g.model_dump(mode="json") for g in gates]})
    else:
        out.print(gate_table(gates))
        out.print(decision)
    raise typer.Exit(EXIT_CODES[decision])


def _prove(seed: int, names: list[str], as_json: bool) -> None:
    from fairlead.audits.planted import CASES
    from fairlead.audits.self_test import self_test
    from fairlead.cli.audit import proof_json, proof_table
    from fairlead.core.cpus import usable_cores

    if unknown := sorted(set(names) - set(CASES)):
        raise ConfigError(
            f"no planted defect is called {unknown[0]!r}",
            where="--only",
            expected=", ".join(CASES),
            remedy="name one of these",
        )
    found = self_test(
        seed, names=names, workers=usable_cores(), say=lambda line: err.print(escaped(line))
    )
    if as_json:
        print_json(proof_json(found))
    else:
        for table in proof_table(found):
            out.print(table)
    raise typer.Exit(0 if found.proven else 1)


@evaluate_app.command("reward")
@for_people
def evaluate_reward(
    checkpoint: Annotated[str, typer.Argument(help="Folder of a reward model.")],
    data: Annotated[str, typer.Argument(help="Comparisons: file, folder or hub name.")],
    format: Annotated[str, typer.Option(help="Format; auto goes by the fields.")] = "auto",
    max_length: Annotated[int, typer.Option(help="Longest prompt plus reply, in tokens.")] = 512,
    as_json: Json = False,
) -> None:
    """Accuracy of a reward model on comparisons, by subset, beside length-only baselines."""
    quiet()
    from fairlead.cli.evaluate import reward_accuracy, show

    measured = reward_accuracy(checkpoint, data, format=format, max_length=max_length)
    if as_json:
        print_json(measured)
    else:
        out.print(show(measured))


@evaluate_app.command("judge")
@for_people
def evaluate_judge(
    judge: Annotated[str, typer.Argument(help="A model, a YAML file, or YAML.")],
    data: Annotated[str, typer.Argument(help="Comparisons by people: file, folder or hub name.")],
    format: Annotated[str, typer.Option(help="Format; auto goes by the fields.")] = "auto",
    question: Annotated[str | None, typer.Option(help="What makes a reply the better one.")] = None,
    most: Annotated[int | None, typer.Option(help="Pairs at most, drawn at random.", min=1)] = None,
    repeats: Annotated[int, typer.Option(help="Judgements of every pair.", min=1)] = 1,
    cache: Annotated[
        Path, typer.Option(help="Folder for a server's answers; asking again costs nothing.")
    ] = Path("runs") / "judge",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Agreement of a judge with people, its taste for places and lengths, what it costs."""
    quiet()
    from fairlead.cli.evaluate import judge_quality_of, show_judge

    measured = judge_quality_of(
        judge,
        data,
        format=format,
        question=question,
        most=most,
        repeats=repeats,
        seed=seed,
        cache=cache,
    )
    if as_json:
        print_json(measured)
    else:
        out.print(show_judge(measured))


@app.command()
@for_people
def train(
    method: Annotated[
        str, typer.Argument(help="sft, reward, dpo, kto, ppo... as `fairlead methods` lists them.")
    ],
    model: Annotated[str, typer.Option("--model", help="Folder or hub name to start from.")],
    data: Annotated[str, typer.Option("--data", help="File, folder or hub name.")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(help="Settings of the stage, e.g. train.learning_rate=1e-5."),
    ] = None,
    reward: Annotated[
        str | None, typer.Option("--reward", help="Folder of a reward model, to learn from.")
    ] = None,
    out_dir: Out = None,
    seed: Seed = 0,
    resume: Resume = False,
    profile: Profiled = False,
) -> None:
    """Train one stage from files by any method."""
    quiet()
    from fairlead.pipeline.single import single_stage

    rewarded = [] if reward is None else [f"reward={json.dumps(reward)}"]
    chosen = [*rewarded, *(settings or [])]
    recipe = single_stage(method, model=model, data=data, seed=seed, settings=chosen)
    _run(recipe, out_dir or Path("runs") / recipe.name, resume, profile=profile)


if __name__ == "__main__":
    app()
