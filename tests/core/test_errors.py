import pickle

import pytest

from fairlead.core.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    FairleadError,
    ServiceError,
    TrainingError,
)

CATEGORIES = {
    ConfigError: ValueError,
    DataError: ValueError,
    CheckpointError: RuntimeError,
    TrainingError: RuntimeError,
    ServiceError: RuntimeError,
}


@pytest.mark.parametrize(("category", "standard"), CATEGORIES.items())
def test_survives_pickling_and_is_caught_as_standard(
    category: type[FairleadError], standard: type[Exception]
) -> None:
    error = category("no file", where="a.json", expected="b", got="c", remedy="look")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is category and str(again) == str(error)
    assert isinstance(again, standard) and isinstance(again, FairleadError)
    assert (again.where, again.expected, again.got, again.remedy) == ("a.json", "b", "c", "look")


def test_message_names_only_what_is_known() -> None:
    error = DataError("bad row", where="row 3", remedy="remove it")
    assert str(error) == "bad row\n  where: row 3\n  remedy: remove it"
    assert str(DataError("bad row")) == "bad row"
