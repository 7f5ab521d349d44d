"""What `fairlead constitution relabel` does."""

from pathlib import Path

from fairlead.constitution.feedback import relabel
from fairlead.constitution.reading import load_constitution
from fairlead.core.seeds import Seed
from fairlead.data.readers import read
from fairlead.judges.pairwise import PairwiseJudge
from fairlead.pipeline.respondents import respondent_spec
from fairlead.pipeline.stage import Context
from fairlead.records.files import write_records


def relabel_file(
    labels: str, constitution: str, judge: str, out: Path, *, seed: int
) -> dict[str, int]:
    """Reads labels, makes the stale ones anew, and writes all; how many had which fate.

    Answers of a server are kept beside the new file, so that a broken run pays for none twice.

    Raises:
        ConfigError: the constitution or the judge cannot be used.
        DataError: the labels cannot be read.
    """
    principles = load_constitution(constitution)
    spec, root = respondent_spec(judge, where="--judge"), Seed(seed)
    records = read(labels, strict=True).records
    at = Context(run_dir=out.parent, folder=out.parent, seed=root, resume=False)
    respondent = spec.respondent(at, principles, root.child("judge", 0))
    asked = PairwiseJudge([respondent], seed=root.child("fences"))
    found = relabel(records, principles, asked)
    write_records(out, found.labels)
    return {
        "kept": found.kept,
        "made anew": len(found.anew) - found.lost,
        "lost": found.lost,
    }
