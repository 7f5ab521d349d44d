import pytest
from torch import Tensor

from fairlead.core.seeds import Seed
from fairlead.data.batches import sequence_batch
from fairlead.objectives.sft import SFT
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource
from small_world import demonstrations, items_of, tiny_policy


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """Weights of a policy that ends some of its replies within ten tokens."""
    policy = tiny_policy()
    source = DatasetSource(items_of(demonstrations(64)), sequence_batch, 16, 8, 2048, Seed(0))
    config = TrainConfig(learning_rate=1e-2)
    train(policy, SFT(), source, config, seed=Seed(0), run_dir=tmp_path_factory.mktemp("taught"))
    return policy.model.state_dict()
