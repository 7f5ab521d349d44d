"""Judged steps as PRM800K writes them, so that programs made for it can read them."""

from typing import Any

from fairlead.feedback.gathered import Answer, Case


def prm800k_row(case: Case, answer: Answer, labeler: str) -> dict[str, Any]:
    """One answer as a row of PRM800K (Lightman et al. 2023, arXiv:2305.20050).

    A step has one completion; `flagged` is the mark for unsure; a rewritten step is the
    `human_completion`. Steps behind the end of the judgement are left away, as in the original.
    """
    value = answer.value
    judged = [i for i, label in enumerate(value["labels"]) if label is not None]
    end = judged[-1] + 1 if judged else 0
    rewrite = value["rewrite"]
    steps = [
        {
            "completions": [
                {"text": text, "rating": value["labels"][i], "flagged": i in value["unsure"]}
            ],
            "human_completion": None,
            "chosen_completion": 0,
        }
        for i, text in enumerate(case.replies[0].steps[:end])
    ]
    if rewrite is not None and rewrite["step"] < end:
        steps[rewrite["step"]]["human_completion"] = {
            "text": rewrite["text"],
            "rating": None,
            "source": "human",
        }
    return {
        "labeler": labeler,
        "timestamp": answer.at.date().isoformat(),
        "generation": None,
        "is_quality_control_question": answer.purpose == "gold",
        "is_initial_screening_question": answer.purpose == "screening",
        "question": {"problem": case.messages[-1].content if case.messages else ""},
        "label": {
            "steps": steps,
            "total_time": answer.active_ms,
            "finish_reason": value["finish"],
        },
    }
