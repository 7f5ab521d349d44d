from pathlib import Path

from tiny_runs import fails, fairlead, json_of

ASKED = "what is the capital of france ?"


def test_same_seed_same_text(base: Path):
    arguments = ("generate", base, ASKED, "--max-new-tokens", 8, "--n", 3)
    first = json_of(*arguments, "--seed", 1)
    assert first == json_of(*arguments, "--seed", 1)
    assert first != json_of(*arguments, "--seed", 2)
    assert [row["prompt"] for row in first] == [ASKED]
    assert len(set(first[0]["replies"])) == 3


def test_greedy_needs_no_seed(base: Path):
    arguments = ("generate", base, ASKED, "--max-new-tokens", 8, "--temperature", 0)
    assert json_of(*arguments, "--seed", 1) == json_of(*arguments, "--seed", 2)


def test_text_shows_prompt_and_replies(base: Path):
    (row,) = json_of("generate", base, ASKED, "--max-new-tokens", 8)
    result = fairlead("generate", base, ASKED, "--max-new-tokens", 8)
    assert result.stdout.splitlines() == [f"> {ASKED}", *row["replies"]]


def test_prompts_of_a_data_set(base: Path, pairs: Path):
    rows = json_of("generate", base, "--data", pairs, "--max-new-tokens", 4)
    assert 1 < len(rows) <= 80
    assert len({row["prompt"] for row in rows}) == len(rows)


def test_nothing_to_answer(base: Path):
    assert "give a prompt, or --data" in fails("generate", base)


def test_settings_out_of_range(base: Path):
    assert "where: --max-new-tokens" in fails("generate", base, ASKED, "--max-new-tokens", 0)
    assert "n >= 1" in fails("generate", base, ASKED, "--n", 0)


def test_a_reward_model_does_not_speak(reward_run: Path):
    text = fails("generate", reward_run / "stages/reward/model", ASKED)
    assert "holds a reward model, not a policy" in text


def test_decoder_by_reward_says_what_it_cost(base: Path, reward_run: Path):
    model = reward_run / "stages/reward/model"
    short = ("generate", base, ASKED, "--max-new-tokens", 8, "--decoder", "best_of_n")
    (row,) = json_of(*short, "--reward", model, "--set", "n=5")
    (decoded,) = row["decoded"]
    assert decoded["spent"]["reward_calls"] == 5
    spent = decoded["spent"]
    assert spent["tokens"] == spent["policy_tokens"] + spent["reward_tokens"]
    (one,) = json_of(*short, "--reward", model, "--set", "n=1")
    assert one["decoded"][0]["score"] <= decoded["score"]
    shown = fairlead(*short, "--reward", model, "--set", "n=5").stdout.splitlines()
    assert shown[1] == row["replies"][0]
    assert shown[2].startswith(f"score {decoded['score']:.3f}; {spent['policy_tokens']} policy")


def test_options_of_sampling_reach_the_decoder(base: Path, reward_run: Path):
    model = reward_run / "stages/reward/model"
    plain = ("generate", base, ASKED, "--max-new-tokens", 6, "--temperature", 0)
    (greedy,) = json_of(*plain)
    (decoded,) = json_of(*plain, "--decoder", "sampling")
    assert decoded["replies"] == greedy["replies"]
    args = (*plain, "--decoder", "args", "--reward", model, "--set", "weight=0")
    assert json_of(*args)[0]["replies"] == greedy["replies"]


def test_decoders_that_do_not_fit(base: Path):
    short = ("generate", base, ASKED, "--max-new-tokens", 4)
    assert "no decoder 'best'" in fails(*short, "--decoder", "best")
    assert "there is none" in fails(*short, "--decoder", "best_of_n")
    text = fails(*short, "--decoder", "best_of_n", "--set", "m=3")
    assert "settings that do not fit" in text and "m: Extra inputs" in text
    assert "a setting has no '='" in fails(*short, "--decoder", "best_of_n", "--set", "n")
    assert "no decoder that would use it" in fails(*short, "--set", "n=3")
