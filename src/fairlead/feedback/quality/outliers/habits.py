"""Answers that come without a look at the item: to one side, always the same, too fast, taken over.

Each is a thing that a person does more often than is human.
"""

from collections.abc import Sequence

import numpy as np

from fairlead.feedback.quality.outliers.cases import LEAST, Case, Cases, Floats, Tally, beyond
from fairlead.feedback.quality.outliers.crowd import CROWD, Crowd
from fairlead.feedback.quality.position import sides

FAST_WORDS = 20.0
"""Words a second that nobody reads; skimming is below 12."""
FAST_SHARE = 0.2
"""Share of the crowd's median time below which an answer is fast, where lengths are unknown."""
FAST_OFTEN = 0.5
"""Share of fast answers that a quick reader may have."""
STRAIGHT = 0.9
"""Share of one single label from which it is a straight line."""
STRAIGHT_MARGIN = 0.1
"""How much more often than the others on the same items a label may be given."""
LEAN = 0.05
"""Leaning to one side, beyond the crowd's, that is still human."""
NOTABLE_LEAN = 0.1
"""Leaning to one side from which it is reported."""
TAKEN_OVER = 0.5
"""Estimated share of suggestions taken over from which it is reported."""
FOLLOWED = 0.2
"""How much more often than the crowd's median a person may side with the model alone."""


def one_sided(crowd: Crowd) -> Cases:
    """Chooses one side of the screen more often than the crowd."""
    if crowd.table.left is None:
        return "the order in which replies were shown is unknown"
    chosen, people = sides(crowd.table, crowd.table.left)
    left = Tally.of(people, chosen, len(crowd.names))
    who = left.tested()
    if not who:
        return f"nobody has {LEAST} choices with a known order"
    usual = float(np.median(left.rate[who])) if len(who) >= CROWD else 0.5
    return [_leaning(left, person, usual) for person in who]


def _leaning(left: Tally, person: int, usual: float) -> Case:
    rate = float(left.rate[person])
    to_left = rate >= usual
    limit = float(np.clip(usual + (LEAN if to_left else -LEAN), 0.0, 1.0))
    side, chosen = ("left", left) if to_left else ("right", Tally(left.n - left.hits, left.n))
    return beyond(
        left,
        person,
        limit,
        "greater" if to_left else "less",
        sides=2,
        reason=f"biased to the {side}: chose the {side} reply in {chosen.told(person)} choices; "
        f"the crowd's median is {usual if to_left else 1 - usual:.0%}, the threshold "
        f"{limit if to_left else 1 - limit:.0%}",
        notable=abs(rate - usual) >= NOTABLE_LEAN,
        weight=1 - 2 * abs(rate - usual),
    )


def always_the_same(crowd: Crowd) -> Cases:
    """Gives one label to nearly everything, where others do not."""
    names = crowd.table.labels.names
    if len(names) < 2:
        return "everybody gave the same single label"
    shared = crowd.others.sum(axis=1) > 0
    given, expected = np.zeros((2, len(crowd.names), len(names)))
    np.add.at(given, (crowd.people[shared], crowd.given[shared]), 1)
    others = crowd.others[shared]
    np.add.at(expected, crowd.people[shared], others / others.sum(axis=1, keepdims=True))
    favourite = given.argmax(axis=1)
    tally = Tally(hits=given.max(axis=1).astype(int), n=given.sum(axis=1).astype(int))
    who = tally.tested()
    if not who:
        return f"nobody has {LEAST} answers to items that others answered too"
    cases: list[Case] = []
    for person in who:
        label = int(favourite[person])
        usual = float(expected[person, label] / tally.n[person])
        limit = min(usual + STRAIGHT_MARGIN, 1.0)
        threshold = max(limit, STRAIGHT)
        cases.append(
            beyond(
                tally,
                person,
                limit,
                "greater",
                threshold=threshold,
                reason=f"always the same: answered '{names[label]}' to {tally.told(person)} items; "
                f"others did so on {usual:.0%} of the same items, the threshold is "
                f"{threshold:.0%}",
                notable=bool(tally.rate[person] >= STRAIGHT),
                weight=0.0,
            )
        )
    return cases


def too_fast(crowd: Crowd) -> Cases:
    """Answers before the item can have been read."""
    seconds = crowd.table.seconds
    if seconds is None or not np.isfinite(seconds).any():
        return "times are unknown"
    timed = np.isfinite(seconds)
    who = crowd.tally(timed, timed).tested()
    limits, rule = _too_short(crowd, seconds, who)
    if not rule:
        return f"lengths are unknown, and fewer than {CROWD} people have {LEAST} timed answers"
    tally = crowd.tally(timed, seconds < limits)
    median = {p: float(np.median(seconds[timed & (crowd.people == p)])) for p in who}
    return [
        beyond(
            tally,
            person,
            FAST_OFTEN,
            "greater",
            reason=f"too fast: {tally.told(person)} answers came {rule}; half of this person's "
            f"answers took {median[person]:.2g} s or less, {FAST_OFTEN:.0%} of fast answers is the "
            f"threshold",
            notable=bool(tally.rate[person] > FAST_OFTEN),
            weight=1 - float(tally.rate[person]),
        )
        for person in who
    ]


def _too_short(crowd: Crowd, seconds: Floats, who: Sequence[int]) -> tuple[Floats, str]:
    """[row] time below which an answer is too fast, and the rule in words; "" for no rule."""
    words = crowd.table.words
    if words is not None and np.isfinite(words).any():
        filled = np.where(np.isfinite(words), words, np.nanmedian(words))
        return filled / FAST_WORDS, f"faster than {FAST_WORDS:.0f} words a second can be read"
    if len(who) < CROWD:
        return np.zeros(len(seconds)), ""
    medians = [float(np.nanmedian(seconds[crowd.people == person])) for person in who]
    limit = FAST_SHARE * float(np.median(medians))
    rule = f"in less than {limit:.2g} s, a fifth of the crowd's median time"
    return np.full(len(seconds), limit), rule


def repeats_suggestions(crowd: Crowd) -> Cases:
    """Sides with the model where it is alone."""
    suggested = crowd.table.suggestion
    if suggested is None or not (suggested >= 0).any():
        return "no suggestions of a model are known"
    known, follows = suggested >= 0, crowd.given == suggested
    against = known & crowd.is_clear & (suggested != crowd.reference)
    tally = crowd.tally(against, follows)
    # A few cases suffice: to side with the model alone each time is rare in honest work.
    who = tally.tested(LEAST // 4)
    if len(who) < CROWD:
        return f"needs {CROWD} people on whose items the model and the others differ"
    usual = float(np.median(tally.rate[who]))
    limit = min(usual + FOLLOWED, 1.0)
    taken = (tally.rate - usual) / max(1 - usual, 1e-9)
    overall = crowd.tally(known, follows).rate
    # Whoever answers against everybody sides with the model only where it is alone too.
    notable = (taken >= TAKEN_OVER) & (overall >= np.median(overall[who]))
    return [
        beyond(
            tally,
            person,
            limit,
            "greater",
            reason=f"repeats the model's suggestion: in {tally.told(person)} cases where a clear "
            f"majority of the others says something else; the crowd's median is {usual:.0%}, the "
            f"threshold {limit:.0%}",
            notable=bool(notable[person]),
            weight=1 - float(taken[person]),
        )
        for person in who
    ]
