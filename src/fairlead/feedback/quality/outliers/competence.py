"""Answers that are no better than chance, that go against the others, or that fail gold."""

import numpy as np
from scipy import special

from fairlead.feedback.quality.gold import graded
from fairlead.feedback.quality.outliers.cases import (
    LEAST,
    Case,
    Cases,
    Codes,
    Tally,
    beyond,
    percent,
)
from fairlead.feedback.quality.outliers.crowd import CROWD, Crowd
from fairlead.stats.proportions import beta_posterior

AGAINST = -0.2
"""Agreement beyond chance from which answers go against the others."""
LEAST_SPREAD = 0.03
"""Standard deviation of skill, as a share of agreement, that every crowd has."""
MAD_WORTH = 0.37
"""Efficiency of the median absolute deviation beside the standard deviation."""
COMPETENCE = 0.6
"""Share of the crowd's median agreement beyond chance that a person may fall to."""


def close_to_random(crowd: Crowd) -> Cases:
    """Agrees with clear majorities little more than chance would."""
    if why := crowd.too_small():
        return why
    clear = crowd.clear
    cases: list[Case] = []
    for person, unusual in _unusually_low(crowd).items():
        chance, share = float(clear.chance_rate[person]), clear.share(person)
        room = max(crowd.usual, 0.0) * (1 - chance)
        limit, halfway = chance + COMPETENCE * room, chance + room / 2
        cases.append(
            Case(
                person=person,
                # Either test will do, so both pay: one knows this crowd's spread of skill, which
                # a crowd with many odd people hides; the other needs no crowd, but more answers.
                p=min(1.0, 2 * min(unusual, clear.chance(person, limit, "less"))),
                share=share,
                threshold=halfway,
                # Weak is not random: the upper end too has to be nearer to chance than to the rest.
                notable=share.high < halfway,
                reason=f"close to random: agrees with a clear majority of the others on "
                f"{clear.told(person)} items; {chance:.0%} would be chance, "
                f"{halfway:.0%} is halfway between chance and this crowd",
                weight=float(clear.competence[person]) / crowd.usual if crowd.usual > 0 else 0.0,
            )
        )
    return cases


def _unusually_low(crowd: Crowd) -> dict[int, float]:
    """For each person, the chance of so little agreement in a crowd of this skill and spread.

    Median and median absolute deviation stand for the honest part of the crowd; Student's t, with
    the degrees of freedom that this deviation is worth, for how little is known of them.
    """
    who = crowd.clear.tested()
    rates, n = crowd.clear.rate[who], crowd.clear.n[who]
    middle = float(np.median(rates))
    drawn = middle * (1 - middle) / n
    robust = (1.4826 * float(np.median(np.abs(rates - middle)))) ** 2
    # The spread of skill is what is left of the robust spread without the chance of the draw.
    skill = max(robust - float(drawn.mean()), LEAST_SPREAD**2)
    p = special.stdtr((len(who) - 1) * MAD_WORTH, (rates - middle) / np.sqrt(skill + drawn))
    return dict(zip(who, p.tolist(), strict=True))


def inverted(crowd: Crowd) -> Cases:
    """Agrees with the majority less often than chance would."""
    if why := crowd.too_small():
        return why
    agreement = crowd.majority
    chance = agreement.chance_rate
    return [
        beyond(
            agreement,
            person,
            float(chance[person]),
            "less",
            reason=f"inverted: agrees with the majority of the others on only "
            f"{agreement.told(person)} items, where answering at random gives "
            f"{chance[person]:.0%}; perhaps the question was read the other way round",
            notable=bool(agreement.competence[person] <= AGAINST),
            weight=0.0,
        )
        for person in agreement.tested()
    ]


def fails_gold(crowd: Crowd) -> Cases:
    """Is right on items with gold nearer to chance than to the crowd."""
    rows, right = graded(crowd.table)
    if not len(rows):
        return "no item has gold"
    tally = Tally.of(crowd.people[rows], right, len(crowd.names))
    who = tally.tested()
    if len(who) < CROWD:
        return f"needs {CROWD} people with {LEAST} answers each to items with gold"
    usual = float(np.median(tally.rate[who]))
    cases: list[Case] = []
    for person in who:
        chance = _gold_by_chance(crowd, rows[crowd.people[rows] == person])
        room = max(usual - chance, 0.0)
        limit, halfway = chance + COMPETENCE * room, chance + room / 2
        hits, n = tally.hits[person], tally.n[person]
        posterior = beta_posterior(float(hits), float(n))
        cases.append(
            Case(
                person=person,
                p=tally.chance(person, limit, "less"),
                share=posterior,
                threshold=halfway,
                notable=posterior.high < halfway,
                reason=f"fails gold: right on {hits} of {n} items whose answer is known, "
                f"{percent(posterior)}; the crowd's median is {usual:.0%}, "
                f"{halfway:.0%} is halfway between that and chance",
                weight=(posterior.value - chance) / max(usual - chance, 1e-9),
            )
        )
    return cases


def _gold_by_chance(crowd: Crowd, rows: Codes) -> float:
    """Share of gold hit by the person's own shares of labels."""
    accepted = crowd.table.accepted
    if accepted is None:
        return 0.0
    given = np.bincount(crowd.given[rows], minlength=accepted.shape[1]) / len(rows)
    return float((accepted[crowd.items[rows]] @ given).mean())
