"""Which file of an evidence pack speaks to which part of a standard or law, in our own words.

After ISO/IEC 42001:2023, Annex A, and Regulation (EU) 2024/1689, Annex IV. It says where to look;
it claims no conformity.
"""

ROWS: tuple[tuple[str, str, str, str], ...] = (
    (
        "README.md",
        "What the model is, how it was made, how it was measured, where its limits are",
        "A.6.2.3 design and development, A.6.2.7 technical documentation, A.8.2 information for "
        "users",
        "1 general description, 2(a) and 2(c) development and architecture",
    ),
    (
        "datasheet.md",
        "Which data went in, who judged it, how well they agreed, what a scan for personal data "
        "found",
        "A.4.3 data resources, A.7.2 to A.7.5 data: development, acquisition, quality, provenance",
        "2(d) data and its provenance",
    ),
    (
        "bill.cdx.json",
        "Every model, data set and library with version and hash",
        "A.4.2 to A.4.5 resources and tools, A.10.3 suppliers",
        "2(a) parts from third parties, 2(c) computing and software",
    ),
    (
        "report.html",
        "Verdict, gates, figures, worst items in full, how to reproduce",
        "A.6.2.4 verification and validation, A.5 impact (as evidence only)",
        "2(g) testing and its results, 3 performance and its limits, 4 fitness of the measures",
    ),
    (
        "report.json",
        "The same numbers; `fairlead report report.json --check` computes the verdict from them",
        "A.6.2.4 verification and validation, A.6.2.8 records",
        "2(g) test logs",
    ),
    (
        "report.md",
        "The same for reading in a repository",
        "A.8.2 information for users",
        "2(g) test reports",
    ),
)
"""File, what it says, ISO/IEC 42001 Annex A, EU AI Act Annex IV."""

NOT_COVERED = (
    "purpose, users and people affected, and the assessment of impacts on them (A.5; Annex IV, 1)",
    "the risk management system (clause 6.1; Annex IV, 5)",
    "policies, roles and responsibilities (A.2, A.3)",
    "human oversight in use (A.9; Annex IV, 2(e))",
    "security measures around the model (Annex IV, 2(h))",
    "operation, monitoring and reporting of incidents (A.6.2.6, A.8.4; Annex IV, 9)",
    "standards applied and the declaration of conformity (Annex IV, 7 and 8)",
)


def clauses() -> str:
    """The map as Markdown."""
    lines = [
        "# Where to look",
        "",
        "Which file of this folder may serve as evidence for which part of ISO/IEC 42001:2023 and",
        "of the technical documentation of the EU AI Act. It was made from records of one run. It",
        "is no statement of conformity, and nobody has assessed any.",
        "",
        "| file | what it says | ISO/IEC 42001, Annex A | EU AI Act, Annex IV |",
        "|---|---|---|---|",
        *(f"| `{file}` | {what} | {iso} | {act} |" for file, what, iso, act in ROWS),
        "",
        "Not covered here, and to be written by people:",
        "",
        *(f"- {one}" for one in NOT_COVERED),
    ]
    return "\n".join(lines) + "\n"
