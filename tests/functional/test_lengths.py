import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.errors import ConfigError
from fairlead.functional.lengths import overlong_penalty


def test_reference_values(reference_value):
    inputs, outputs = reference_value("rl.overlong")
    found = overlong_penalty(
        inputs["lengths"].long(),
        limit=inputs["max_len"],
        buffer=inputs["buffer"],
        factor=inputs["factor"],
    )
    torch.testing.assert_close(found, outputs["penalty"], atol=1e-12, rtol=0)


@given(st.integers(0, 400), st.integers(1, 100), st.integers(0, 100), st.floats(0, 4))
def test_equals_the_three_cases(length, buffer, free, factor):
    limit = buffer + free
    if length <= free:
        expected = 0.0
    elif length <= limit:
        expected = factor * (free - length) / buffer
    else:
        expected = -factor
    found = overlong_penalty(torch.tensor([length]), limit=limit, buffer=buffer, factor=factor)
    assert found.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("limit", "buffer", "factor"), [(10, 0, 1.0), (10, 11, 1.0), (10, 5, -1.0)]
)
def test_impossible_settings_are_refused(limit, buffer, factor):
    with pytest.raises(ConfigError, match="buffer within the limit"):
        overlong_penalty(torch.tensor([1]), limit=limit, buffer=buffer, factor=factor)
