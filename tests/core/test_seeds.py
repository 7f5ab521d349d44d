from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.seeds import Seed

names = st.lists(st.one_of(st.text(max_size=5), st.integers(-9, 9)), max_size=3)


@given(root=st.integers(0, 2**40), path=names)
def test_equal_names_give_equal_numbers(root: int, path: list[str | int]) -> None:
    one, other = Seed(root).child(*path), Seed(root)
    for name in path:
        other = other.child(name)
    assert one == other and 0 <= one.value < 2**63
    assert one.numpy().random() == other.numpy().random()


def test_different_names_give_different_numbers() -> None:
    seeds = [
        Seed(7),
        Seed(8),
        Seed(7).child("rollout"),
        Seed(7).child("rollout", 1),
        Seed(7).child("rollout", 11),
        Seed(7).child("rollout", 1, 1),
        Seed(7).child("rollout1"),
    ]
    assert len({seed.value for seed in seeds}) == len(seeds)


def test_the_value_does_not_change_between_versions() -> None:
    assert Seed(7).child("rollout", 3).value == 2_741_702_958_346_466_613


def test_streams_of_children_are_unrelated() -> None:
    draws = [Seed(1).child(i).numpy().normal(size=2000) for i in range(2)]
    correlation = (draws[0] * draws[1]).mean()
    assert abs(correlation) < 4 / 2000**0.5
