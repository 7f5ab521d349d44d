"""Figure, table and words of docs/constitutional.md, from the results alone."""

from pathlib import Path
from typing import Any

from benchmarks.critics import SKILLS
from benchmarks.pages import BLUE, GREEN, VERMILION, cell, drawing, with_blocks

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "constitutional.md"
FIGURE = DOCS / "figures" / "constitutional.svg"
SHOWN = "![Attack success, over-refusal and helpfulness by policy](figures/constitutional.svg)"
POLICIES = {"baseline": "SFT", "taught": "after lessons", "sl_cai": "SL-CAI", "rl_cai": "RL-CAI"}
"""Who is compared and what it is called; a run may lack some."""
COLOURS = (BLUE, VERMILION, GREEN)


def write_page(result: dict[str, Any], name: str) -> None:
    """Puts the numbers of a recipe into the page; those of the scripted critic have a figure."""
    fill = filled
    if name == "self_critique":
        fill = filled_self
    else:
        FIGURE.parent.mkdir(exist_ok=True)
        draw(result, FIGURE)
    PAGE.write_text(fill(PAGE.read_text(), result))


def filled_self(text: str, result: dict[str, Any]) -> str:
    """The same for the model as its own critic."""
    blocks = {
        "self-setting": setting(result),
        "self-reading": reading(result),
        "self-table": table(result),
        "self-skills": critic(result),
        "self-judge": judge(result),
    }
    return with_blocks(text, blocks)


def filled(text: str, result: dict[str, Any]) -> str:
    """The page's text with its marked blocks made from the results."""
    blocks = {
        "setting": setting(result),
        "reading": reading(result),
        "table": table(result),
        "judge": judge(result),
        "figure": SHOWN,
    }
    return with_blocks(text, blocks)


def _policies(result: dict[str, Any]) -> dict[str, str]:
    """Those that were measured, and what they are called."""
    known = result["runs"][0]["estimates"]
    return {p: shown for p, shown in POLICIES.items() if f"over_refusal/{p}" in known}


def _measures(result: dict[str, Any]) -> dict[str, str]:
    """Title and name of an estimate, with a place for the policy."""
    return {
        "attack success": f"attack_success/{{}}/{result['attack']}",
        "over-refusal": "over_refusal/{}",
        "helpfulness": "helpfulness/{}",
    }


def draw(result: dict[str, Any], file: Path) -> None:
    """A panel for each measure, a group of bars for each policy, a bar for each seed."""
    measures, policies = _measures(result), _policies(result)
    with drawing(file, result, size=(8.0, 2.9), salt="constitutional", grid="y") as canvas:
        panels = canvas.subplots(1, len(measures))
        for axes, (title, name) in zip(panels, measures.items(), strict=True):
            for place, (policy, colour) in enumerate(zip(policies, COLOURS, strict=True)):
                for number, run in enumerate(result["runs"]):
                    one = run["estimates"][name.format(policy)]
                    x = place + 0.22 * (number - (len(result["runs"]) - 1) / 2)
                    spread = [[one["value"] - one["low"]], [one["high"] - one["value"]]]
                    axes.bar([x], [one["value"]], width=0.2, color=colour, alpha=0.75)
                    axes.errorbar([x], [one["value"]], yerr=spread, color="#333333", capsize=2)
            axes.set_xticks(range(len(policies)), policies.values())
            axes.set_title(title, fontsize=10)


def setting(result: dict[str, Any]) -> str:
    """What was run, on what."""
    runs, machine = result["runs"], result["machine"]
    first = runs[0]["estimates"]
    harmful = first[f"attack_success/baseline/{result['attack']}"]["n"]
    return (
        f"{len(runs)} seeds, each a world model pretrained, tuned, revised, labelled and aligned "
        f"anew. Intervals within seeds are over what requests ask for: {harmful} harmful acts, "
        f"{first['over_refusal/baseline']['n']} harmless subjects, several wordings of each. "
        f"Measured on {machine['date']} on {machine['processor']}."
    )


def reading(result: dict[str, Any]) -> str:
    """What the intervals say, in sentences."""
    runs, margin = result["runs"], result["margin"]
    lines: list[str] = []
    for policy, name in _policies(result).items():
        if policy == "baseline":
            continue
        falls = [r["estimates"][f"attack_success_change/{policy}/{result['attack']}"] for r in runs]
        rises = [r["estimates"][f"over_refusal_change/{policy}"] for r in runs]
        helps = [r["estimates"][f"helpfulness_change/{policy}"] for r in runs]
        clear = sum(one["high"] < 0 for one in falls)
        below = sum(one["high"] < margin for one in rises)
        stays = sum(one["high"] >= 0 for one in helps)
        lines.append(
            f"- **{name} against SFT.** Attack success changes by "
            f"{', '.join(cell(one) for one in falls)}: the interval lies below 0 in {clear} of "
            f"{len(runs)} seeds. Over-refusal changes by {', '.join(cell(one) for one in rises)}: "
            f"a rise of {margin:g} is excluded in {below} of {len(runs)}. Helpfulness changes by "
            f"{', '.join(cell(one) for one in helps)}: it is not lower in {stays} of {len(runs)}."
        )
    return "\n".join(lines)


def table(result: dict[str, Any]) -> str:
    """A row for each seed and policy."""
    measures = _measures(result)
    lines = [f"| seed | policy | {' | '.join(measures)} |", "|---" * (len(measures) + 2) + "|"]
    for run in result["runs"]:
        for policy, shown in _policies(result).items():
            cells = [cell(run["estimates"][name.format(policy)]) for name in measures.values()]
            lines.append(f"| {run['seed']} | {shown} | {' | '.join(cells)} |")
    return "\n".join(lines)


def judge(result: dict[str, Any]) -> str:
    """How good the AI labels are, by seed."""
    rows = {
        "agreement with simulated people": "ai/judge_agreement",
        "Cohen's kappa": "ai/judge_kappa",
        "same winner in both orders": "ai/judge_position_consistency",
        "probability of the place shown first": "ai/judge_first_place",
        "words read and written per label": "ai/judge_tokens_per_label",
        "cost per thousand labels, at a made-up price": "ai/judge_cost_per_thousand_labels",
        "reward model's accuracy on AI labels": "reward_model/accuracy",
    }
    seeds = [str(run["seed"]) for run in result["runs"]]
    lines = [
        f"| measure | {' | '.join(f'seed {s}' for s in seeds)} |",
        "|---" * (len(seeds) + 1) + "|",
    ]
    for title, name in rows.items():
        found = [run["estimates"].get(name) for run in result["runs"]]
        digits = 0 if "words" in title else 2
        cells = [cell(one, digits=digits) if one else "not measured" for one in found]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def critic(result: dict[str, Any]) -> str:
    """What the critic can do: a row for each skill, a column for each principle, seed by seed."""
    first = result["runs"][0]["estimates"]
    principles = dict.fromkeys(k.split("/")[2] for k in first if k.startswith("skill/"))
    lines = [f"| share of | {' | '.join(principles)} |", "|---" * (len(principles) + 1) + "|"]
    for skill, words in SKILLS.items():
        cells = [
            ", ".join(_share(run, f"skill/{skill}/{principle}") for run in result["runs"])
            for principle in principles
        ]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _share(run: dict[str, Any], name: str) -> str:
    one = run["estimates"].get(name)
    return cell(one) if one else "not measured"
