"""A process that starts from weights of its own: `python differing_weights.py RUN_DIR`."""

import os
import sys
from pathlib import Path

from fairlead.core.errors import TrainingError
from fairlead.core.seeds import Seed
from fairlead.data.batches import sequence_batch
from fairlead.objectives.sft import SFT
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource
from small_world import demonstrations, items_of, tiny_policy

source = DatasetSource(items_of(demonstrations(8)), sequence_batch, 8, 1, 512, Seed(0))
policy = tiny_policy(seed=int(os.environ["RANK"]))
try:
    train(policy, SFT(), source, TrainConfig(), seed=Seed(0), run_dir=Path(sys.argv[1]))
except TrainingError as error:
    print(error)
    sys.exit(3)
