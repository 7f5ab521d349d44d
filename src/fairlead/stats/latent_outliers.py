"""Replies that lie where the baseline's replies do not, in a reward model's latent space.

The share of outliers by Mahalanobis distance (MOP; Miao et al. 2025, arXiv:2510.13694). The null is
empirical: distances of baseline replies to prompts that had no part in the cloud. A chi-square tail
would hold for Gaussian latents only, and for no space that was made by looking at both groups.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.covariance import LedoitWolf

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Outliers:
    """Distances from the baseline's cloud; every reply is held against the other half's prompts."""

    candidate: Array
    """[prompt, sample] Mahalanobis distance over the threshold of its half."""
    baseline: Array
    """[prompt, sample] the same for the baseline's replies."""
    first: NDArray[np.bool_]
    """[prompt] the half of the prompts."""

    @property
    def shares(self) -> tuple[Array, Array]:
        """[prompt] shares of outliers among the candidate's and among the baseline's replies."""
        return (self.candidate > 1).mean(axis=1), (self.baseline > 1).mean(axis=1)


def outliers(
    baseline: ArrayLike, candidate: ArrayLike, *, alpha: float = 0.05, seed: Seed
) -> Outliers:
    """Distances of both models' replies from the baseline's cloud, prompts held out in halves.

    For each half the cloud (mean, and covariance by Ledoit and Wolf 2004) is fitted to the
    baseline's replies to the other half. The threshold is that which a share `alpha` of the
    baseline's own replies to this half passes.

    Args:
        baseline: [prompt, sample, width] latents.
        candidate: [prompt, sample, width] latents of replies to the same prompts.
        alpha: share of the baseline's replies that count as outliers.
        seed: of the halves.

    Raises:
        DataError: shapes do not match, or a half is too small for the share.
    """
    theirs, ours = np.asarray(baseline, np.float64), np.asarray(candidate, np.float64)
    if theirs.ndim != 3 or ours.ndim != 3 or len(theirs) != len(ours):
        raise DataError(
            "these latents do not pair up",
            expected="[prompt, sample, width] for both models, on the same prompts",
            got=f"{theirs.shape} and {ours.shape}",
            remedy="ask both models the same prompts",
        )
    prompts = len(theirs)
    first = np.zeros(prompts, dtype=bool)
    first[seed.numpy().permutation(prompts)[: prompts // 2]] = True
    found = np.zeros(ours.shape[:2]), np.zeros(theirs.shape[:2])
    for half in (first, ~first):
        known = theirs[half].reshape(-1, theirs.shape[2])
        null = theirs[~half].reshape(-1, theirs.shape[2])
        outside = round(alpha * len(null))
        if not outside or len(known) < 2:
            raise DataError(
                "too few replies for outliers of this share",
                expected=f"at least {2 * math.ceil(1 / alpha)} prompts",
                got=str(prompts),
                remedy="ask more prompts, or take a larger share",
            )
        cloud = LedoitWolf().fit(known)
        threshold = float(np.sort(_distances(cloud, null))[-outside - 1])
        for table, points in zip(found, (ours, theirs), strict=True):
            flat = points[~half].reshape(-1, points.shape[2])
            table[~half] = (_distances(cloud, flat) / threshold).reshape(-1, points.shape[1])
    return Outliers(*found, first)


def whitened(reference: ArrayLike, *points: ArrayLike) -> list[Array]:
    """Points in coordinates in which the reference's cloud (Ledoit-Wolf) is round, of spread 1."""
    known = np.asarray(reference, np.float64)
    cloud = LedoitWolf().fit(known)
    root = np.linalg.cholesky(np.linalg.inv(cloud.covariance_))
    return [(np.asarray(p, np.float64) - cloud.location_) @ root for p in points]


def _distances(cloud: LedoitWolf, points: Array) -> Array:
    return np.sqrt(np.maximum(cloud.mahalanobis(points), 0.0))
