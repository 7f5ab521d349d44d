import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, mahalanobis
from scipy.stats import chi2
from torch import Tensor

from fairlead.core.errors import DataError
from fairlead.functional.latents import cluster_separation, fit_cloud

CLOSE = {"rtol": 1e-8, "atol": 1e-9}


def drawn(n: int, width: int, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, width, generator=random, dtype=torch.float64)


def test_reference_separation(reference_value) -> None:
    given, expected = reference_value("rm.csi")
    got = cluster_separation(
        given["rlhf_points"], given["cluster_labels"].long(), given["sft_points"]
    )
    torch.testing.assert_close(got.distances, expected["centroid_distances"], **CLOSE)
    assert got.index == pytest.approx(expected["csi"], rel=1e-8)
    assert got.per_sample == pytest.approx(expected["csi_per_sample"], rel=1e-8)
    assert got.noise == 0.0


def test_reference_distances(reference_value) -> None:
    given, expected = reference_value("rm.mahalanobis")
    cloud = fit_cloud(given["sft_points"], ridge=given["reg_eps"])
    points = given["test_points"]
    torch.testing.assert_close(cloud.squared_distances(points), expected["d_squared"], **CLOSE)
    torch.testing.assert_close(
        cloud.p_values(points), expected["p_value_chi2_df2"], rtol=1e-8, atol=0
    )
    assert cloud.outside(points, alpha=0.05) == pytest.approx(1 / 3)


@given(n=st.integers(2, 40), width=st.integers(1, 5), seed=st.integers(0, 99))
def test_distances_against_scipy(n: int, width: int, seed: int) -> None:
    reference, points = drawn(n, width, seed), drawn(4, width, seed + 1)
    cloud = fit_cloud(reference, ridge=0.01)
    covariance = np.atleast_2d(np.cov(reference.numpy().T)) + 0.01 * np.eye(width)
    inverse, centre = np.linalg.inv(covariance), reference.numpy().mean(0)
    expected = [mahalanobis(p, centre, inverse) ** 2 for p in points.numpy()]
    assert cloud.squared_distances(points).tolist() == pytest.approx(expected, rel=1e-6)
    assert cloud.p_values(points).tolist() == pytest.approx(chi2.sf(expected, width), rel=1e-5)


@given(n=st.integers(3, 60), others=st.integers(1, 40), seed=st.integers(0, 99))
def test_separation_against_loops(n: int, others: int, seed: int) -> None:
    points, reference = drawn(n, 3, seed), drawn(others, 3, seed + 1)
    labels = torch.arange(n) % 3 - 1
    got = cluster_separation(points, labels, reference)
    index = 0.0
    for label in (0, 1):
        inside = points[labels == label].numpy()
        index += len(inside) * cdist(inside.mean(0)[None], reference.numpy()).min()
    assert got.index == pytest.approx(index, rel=1e-9)
    assert got.per_sample == pytest.approx(index / int((labels >= 0).sum()), rel=1e-9)
    assert got.noise == pytest.approx(float((labels < 0).double().mean()))


def test_what_did_not_move_is_outside_at_rate_alpha() -> None:
    cloud = fit_cloud(drawn(4000, 6, seed=0))
    assert cloud.outside(drawn(4000, 6, seed=1), alpha=0.05) == pytest.approx(0.05, abs=0.012)
    assert cloud.outside(drawn(4000, 6, seed=1) + 4, alpha=0.05) == 1.0


def test_clusters_on_a_reference_point_have_no_separation() -> None:
    points = drawn(4, 2, seed=0)
    labels = torch.zeros(4, dtype=torch.int64)
    assert cluster_separation(points, labels, points.mean(0)[None]).index == pytest.approx(0.0)
    with pytest.raises(DataError, match="no cluster separation"):
        cluster_separation(points, labels - 1, points)
    with pytest.raises(DataError, match="one point"):
        fit_cloud(points[:1])
