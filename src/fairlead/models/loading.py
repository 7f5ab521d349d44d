"""Loading and saving, in the formats that `from_pretrained` reads.

Beside the weights every folder has a `fairlead.json`: what it is, and the fingerprint of the
pretrained weights it descends from, so that a reward model is not used with a stranger's policy.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from pydantic import BaseModel, ConfigDict, PositiveInt
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerBase,
)

from fairlead.core.clock import Part, section
from fairlead.core.errors import CheckpointError, ConfigError
from fairlead.core.files import read_json, whole_folder, write_json
from fairlead.core.seeds import Seed
from fairlead.models.heads import AnyHead, Scalar
from fairlead.models.policy import Policy
from fairlead.models.reward_model import RewardModel

CARD = "fairlead.json"
ADAPTER = "adapter"


class Lora(BaseModel):
    """Low-rank adapters. Hu et al. 2021, arXiv:2106.09685."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: PositiveInt = 16
    """Width of each adapter."""
    alpha: PositiveInt = 32
    """Adapters are scaled by alpha / rank."""
    targets: str | tuple[str, ...] = "all-linear"
    """Names of the modules that get adapters."""
    seed: int = 0
    """Seed of the adapters' first weights."""

    def wrap(self, model: Any) -> PeftModel:
        """Adds fresh adapters, which change nothing until trained."""
        targets = self.targets if isinstance(self.targets, str) else list(self.targets)
        headless = model.get_output_embeddings() is None
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            target_modules=targets,
            task_type="FEATURE_EXTRACTION" if headless else "CAUSAL_LM",
        )
        with torch.random.fork_rng():
            torch.manual_seed(Seed(self.seed).child("lora").value)
            return get_peft_model(model, config)  # pyright: ignore


class Card(BaseModel):
    """What a saved folder is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["policy", "reward_model"]
    base: str
    """Fingerprint of the pretrained weights it descends from."""
    pooling: Literal["last", "mean"] = "last"
    """How a reward model reads a sequence."""
    head: AnyHead = Scalar()
    """What a reward model says of it; folders of before there were several say nothing here."""


def device() -> torch.device:
    """Where models are put: this process's GPU, or the CPU where there is none."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def fingerprint(model: nn.Module) -> str:
    """SHA-256 over the names and bytes of all weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or hub name."""
    return _loaded(path, lambda: AutoTokenizer.from_pretrained(str(path)))


def load_policy(
    path: str | Path,
    *,
    lora: Lora | None = None,
    value: Literal["none", "shared", "separate"] = "none",
    critic: RewardModel | None = None,
    cost_values: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Policy:
    """A policy from a folder or hub name; with `lora`, fresh adapters on top of it.

    Fresh value heads are added where asked for, whatever the folder holds besides its weights;
    see `Policy` for `value`, `critic` and `cost_values`.

    Raises:
        ConfigError: there is no such model, or it is a reward model.
        CheckpointError: the folder is damaged.
    """
    card = _card(path)
    if card is not None and card.kind != "policy":
        raise ConfigError(
            "this folder holds a reward model, not a policy",
            where=str(path),
            remedy="name the folder of an SFT, DPO or PPO stage",
        )
    model = _model(AutoModelForCausalLM, path, dtype)
    base = card.base if card is not None else fingerprint(model)
    return Policy(
        model if lora is None else lora.wrap(model),
        load_tokenizer(path),
        base=base,
        value=value,
        critic=critic,
        cost_values=cost_values,
    )


def hidden_size(path: str | Path) -> int:
    """Width of a model, without loading its weights."""
    return int(_loaded(path, lambda: AutoConfig.from_pretrained(str(path))).hidden_size)


def new_reward_model(
    path: str | Path,
    *,
    pooling: Literal["auto", "last", "mean"] = "auto",
    head: AnyHead | None = None,
    lora: Lora | None = None,
    seed: Seed,
    dtype: torch.dtype = torch.float32,
) -> RewardModel:
    """A reward model with a fresh head on the trunk of a base model, encoder or policy.

    One that starts from a reward model keeps its pooling, and its head where the same is asked for.

    Args:
        path: folder or hub name.
        pooling: how a sequence becomes one vector; "auto" takes the last token of a decoder and
            the mean over an encoder's tokens.
        head: which head; None for a scalar one.
        lora: fresh adapters on the trunk, which alone are trained beside the head.
        seed: of the fresh head.
        dtype: precision of the weights.
    """
    config = _loaded(path, lambda: AutoConfig.from_pretrained(str(path)))
    card = _card(path)
    earlier = card if card is not None and card.kind == "reward_model" else None
    natural: Literal["last", "mean"] = "last" if _is_causal(config) else "mean"
    natural = natural if earlier is None else earlier.pooling
    how = natural if pooling == "auto" else pooling
    if card is None and how == "last":
        whole = _model(AutoModelForCausalLM, path, dtype)
        base, model = fingerprint(whole), whole.base_model
    else:
        model = _model(AutoModel, path, dtype)
        base = fingerprint(model) if card is None else card.base
    trunk = model if lora is None else lora.wrap(model)
    reward_model = RewardModel(trunk, load_tokenizer(path), base=base, pooling=how, head=head)
    reward_model.draw_head(seed)
    if earlier is not None and earlier.head == reward_model.settings:
        _load_head(reward_model, path)
    return reward_model


def load_reward_model(path: str | Path, *, dtype: torch.dtype = torch.float32) -> RewardModel:
    """A trained reward model from its folder."""
    card = _card(path)
    if card is None or card.kind != "reward_model":
        raise ConfigError(
            "this folder holds no reward model",
            where=str(path),
            expected=f"a {CARD} of kind reward_model",
            remedy="train one with `fairlead train reward` and name its model folder",
        )
    model = _model(AutoModel, path, dtype)
    reward_model = RewardModel(
        model, load_tokenizer(path), base=card.base, pooling=card.pooling, head=card.head
    )
    _load_head(reward_model, path)
    return reward_model


def _load_head(reward_model: RewardModel, path: str | Path) -> None:
    parts = _loaded(path, lambda: load_file(Path(path) / "reward_head.safetensors"))
    reward_model.load_state_dict(parts, strict=False)


def save_policy(policy: Policy, folder: Path) -> None:
    """Saves a policy so that `AutoModelForCausalLM.from_pretrained(folder)` loads it."""
    with whole_folder(folder) as temporary, _write_errors():
        _save_weights(policy, temporary)
        policy.tokenizer.save_pretrained(temporary)
        extra = _own_parameters(policy)
        if extra:
            save_file(extra, temporary / "value.safetensors")
        card = Card(kind="policy", base=policy.base)
        write_json(temporary / CARD, card.model_dump(mode="json"))


def save_reward_model(model: RewardModel, folder: Path) -> None:
    """Saves trunk, head and tokenizer; `AutoModel.from_pretrained(folder)` loads the trunk."""
    with whole_folder(folder) as temporary, _write_errors():
        _save_weights(model, temporary)
        model.tokenizer.save_pretrained(temporary)
        save_file(_own_parameters(model), temporary / "reward_head.safetensors")
        card = Card(
            kind="reward_model", base=model.base, pooling=model.pooling, head=model.settings
        )
        write_json(temporary / CARD, card.model_dump(mode="json"))


def _save_weights(module: Policy | RewardModel, folder: Path) -> None:
    """Saves the transformers model.

    Adapters are added into the weights, so that whatever comes next needs neither peft nor the
    folder they were trained on; as they are, they lie in `adapter/`.
    """
    if not module.adapts:
        module.model.save_pretrained(folder)
        return
    module.model.save_pretrained(folder / ADAPTER)
    merged = _merged(module.model)
    module.model.get_base_model().save_pretrained(folder, state_dict=merged)


def save(module: Policy | RewardModel, folder: Path) -> None:
    """Saves either kind."""
    save_policy(module, folder) if isinstance(module, Policy) else save_reward_model(module, folder)


def restore(module: Policy | RewardModel, folder: Path) -> None:
    """Puts saved weights back into a module of the same shape, bit for bit.

    Raises:
        CheckpointError: the folder does not hold this module's weights.
    """
    kind = AutoModelForCausalLM if isinstance(module, Policy) else AutoModel
    dtype = next(module.model.parameters()).dtype

    def put_back() -> None:
        if module.adapts:
            from peft.utils.save_and_load import load_peft_weights, set_peft_model_state_dict

            set_peft_model_state_dict(
                module.model, load_peft_weights(str(folder / ADAPTER), device="cpu")
            )
        else:
            saved = kind.from_pretrained(folder, dtype=dtype)
            module.model.load_state_dict(saved.state_dict())
        name = "value" if isinstance(module, Policy) else "reward_head"
        if _own_parameters(module):
            module.load_state_dict(load_file(folder / f"{name}.safetensors"), strict=False)

    _loaded(folder, put_back)


def require_same_base(reward_model: RewardModel, policy: Policy, *, allowed: bool = False) -> None:
    """Refuses a reward model that was trained for another base model.

    Raises:
        ConfigError: the fingerprints differ and the recipe does not say that this is meant.
    """
    if reward_model.base != policy.base and not allowed:
        raise ConfigError(
            "the reward model was trained for another base model than this policy",
            expected=f"base {policy.base[:12]}",
            got=f"base {reward_model.base[:12]}",
            remedy="train a reward model on this policy's base, or set allow_other_base: true",
        )


@torch.no_grad()
def _merged(model: PeftModel) -> dict[str, torch.Tensor]:
    """Weights of the base model with its adapters added in, one layer at a time."""
    inner: Any = model.get_base_model()
    weights = {
        name.replace(".base_layer.", "."): weight
        for name, weight in inner.state_dict().items()
        if ".lora_" not in name
    }
    for name, layer in inner.named_modules():
        if isinstance(layer, LoraLayer):
            change: Any = layer
            weight = weights[f"{name}.weight"]
            weights[f"{name}.weight"] = weight + change.get_delta_weight("default")
    return weights


def _own_parameters(module: nn.Module) -> dict[str, torch.Tensor]:
    """Weights that the transformers model does not hold: heads, a separate critic, the offset."""
    state = module.state_dict()
    return {k: v.contiguous() for k, v in state.items() if not k.startswith("model.")}


def _model(kind: Any, path: str | Path, dtype: torch.dtype) -> Any:
    with section(Part.LOAD):
        return _loaded(path, lambda: kind.from_pretrained(str(path), dtype=dtype).to(device()))


def _is_causal(config: Any) -> bool:
    names = " ".join(config.architectures or [])
    return "CausalLM" in names or "LMHead" in names


def _card(path: str | Path) -> Card | None:
    file = Path(path) / CARD
    return Card.model_validate(read_json(file)) if file.is_file() else None


def _loaded(path: str | Path, load: Any) -> Any:
    """Runs a loader and turns what transformers raises into an error with a remedy."""
    local = Path(path)
    if not local.exists() and str(path).startswith((".", "/", "~")):
        raise ConfigError(
            "no such model folder",
            where=str(path),
            remedy="check model.path (a folder or hub name)",
        )
    try:
        return load()
    except (SafetensorError, EOFError, RuntimeError, KeyError) as error:
        raise CheckpointError(
            "the model files are damaged or of another shape",
            where=str(path),
            got=f"{type(error).__name__}: {str(error).splitlines()[0][:200]}",
            remedy="restore the folder from a copy, or run the stage that made it again",
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(
            "the model cannot be loaded",
            where=str(path),
            got=f"{type(error).__name__}: {str(error).splitlines()[0][:200]}",
            remedy="name a folder that holds config.json and weights, or a hub name you can reach",
        ) from error


@contextmanager
def _write_errors() -> Iterator[None]:
    """Turns what the weight writers raise on a full disk into an OSError."""
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        raise OSError(None, str(error).splitlines()[0]) from error
