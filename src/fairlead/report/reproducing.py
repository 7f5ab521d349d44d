"""What to type to get a run again, and to see that it is the same."""

from fairlead.report.collect import RunView

RECIPE = "recipe.json"
"""What the resolved recipe is to be saved as; JSON is YAML too."""


def commands(view: RunView) -> list[str]:
    """Commands in order; the recipe is that of run.json, whose seed is in it."""
    versions = {stage.manifest.code.version for stage in view.stages if stage.manifest}
    install = f"fairlead=={versions.pop()}" if len(versions) == 1 else "fairlead"
    return [
        f"pip install '{install}'",
        f"fairlead run {RECIPE} --out again",
        "fairlead verify again",
        "fairlead report again",
    ]
