"""Whether replies have left the cloud of the reference's replies in a reward model's latent space.

Miao et al. 2024 (InfoRM), arXiv:2402.09345; Miao et al. 2025, arXiv:2510.13694.
"""

# torch leaves much untyped; everything else is strict.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fairlead.core.errors import DataError

NOISE = -1
"""Label that clustering gives to points outside every cluster."""


@dataclass(frozen=True)
class ClusterSeparation:
    """How far the clusters of a policy's replies lie from the reference's replies."""

    index: float
    """Sum over clusters of size times distance (CSI); it rises sharply when a reward is gamed."""
    per_sample: float
    """The index over the clustered points, so that samples of different sizes compare."""
    distances: Float[Tensor, " cluster"]
    """From each cluster's centroid to the nearest reference point, by ascending label."""
    noise: float
    """Share of points in no cluster, which do not count."""


def cluster_separation(
    points: Float[Tensor, "point latent"],
    labels: Int[Tensor, " point"],
    reference: Float[Tensor, "other latent"],
) -> ClusterSeparation:
    """Cluster separation index of labelled points against reference points.

    Args:
        points: latents of the policy's replies.
        labels: the cluster of each, -1 for none, by whatever clustering and in whatever space.
        reference: latents of the reference's replies to the same prompts.

    Raises:
        DataError: no point is in a cluster, or there are no reference points.
    """
    inside = labels != NOISE
    clusters: list[int] = sorted(set(labels[inside].tolist()))
    known = torch.tensor(clusters, device=labels.device)
    if not clusters or not len(reference):
        raise DataError(
            "no cluster separation",
            expected="at least one clustered point and one reference point",
            got=f"{int(inside.sum())} clustered of {len(points)}, {len(reference)} reference",
            remedy="loosen the clustering, or sample more replies",
        )
    members = labels[None, :] == known[:, None]
    sizes = members.sum(1)
    centroids = members.to(points.dtype) @ points / sizes[:, None]
    # Products of matrices would be faster and lose half the digits.
    exact = "donot_use_mm_for_euclid_dist"
    distances = torch.cdist(centroids, reference, compute_mode=exact).amin(1)
    index = float((sizes * distances).sum())
    return ClusterSeparation(
        index=index,
        per_sample=index / int(sizes.sum()),
        distances=distances,
        noise=1 - float(inside.double().mean()),
    )


@dataclass(frozen=True)
class Cloud:
    """Where the reference's latents lie: their mean and covariance."""

    centre: Float[Tensor, " latent"]
    covariance: Float[Tensor, "latent latent"]

    def squared_distances(self, points: Float[Tensor, "point latent"]) -> Float[Tensor, " point"]:
        """Squared Mahalanobis distance of each point."""
        away = points - self.centre
        solved: Tensor = torch.linalg.solve(self.covariance, away.T).T
        return (away * solved).sum(1)

    def p_values(self, points: Float[Tensor, "point latent"]) -> Float[Tensor, " point"]:
        """Probability of a point at least as far, were the cloud Gaussian (chi-square tail)."""
        half_degrees = torch.full_like(points[:, 0], len(self.centre) / 2)
        return torch.special.gammaincc(half_degrees, self.squared_distances(points) / 2)

    def outside(self, points: Float[Tensor, "point latent"], *, alpha: float = 0.01) -> float:
        """Share of points whose p-value is below `alpha` (MOP); near `alpha` if nothing moved."""
        return float((self.p_values(points) < alpha).double().mean())


def fit_cloud(reference: Float[Tensor, "point latent"], *, ridge: float = 1e-6) -> Cloud:
    """Mean and covariance (squares over points - 1) of the reference's latents.

    Args:
        reference: latents of the reference's replies.
        ridge: added to the diagonal, so that fewer points than dimensions do not make it singular.

    Raises:
        DataError: there are fewer than two points.
    """
    if len(reference) < 2:
        raise DataError(
            "no covariance from one point",
            expected="latents of at least two reference replies",
            got=str(len(reference)),
            remedy="sample more replies from the reference",
        )
    width = reference.shape[1]
    covariance = torch.cov(reference.T).reshape(width, width)
    diagonal = torch.eye(width, dtype=reference.dtype, device=reference.device)
    return Cloud(reference.mean(0), covariance + ridge * diagonal)
