"""Opinions on completions become records that training reads, equal to what was posted."""

import threading
from datetime import UTC, datetime

import httpx
import pytest
from serving_world import NAME, Running, asked
from sqlalchemy import select

from fairlead.core.errors import ConfigError
from fairlead.data.readers import read
from fairlead.feedback import campaigns
from fairlead.feedback.audit import verify_audit
from fairlead.feedback.campaigns import CampaignSettings, find_campaign
from fairlead.feedback.exports.settings import ExportSettings
from fairlead.feedback.exports.write import export_into
from fairlead.feedback.permissions import LOCAL
from fairlead.feedback.plans import Plan, carry_out
from fairlead.feedback.privacy.erase import forget_me
from fairlead.feedback.store import open_store
from fairlead.feedback.store.tables import Account, Annotator
from fairlead.feedback.work import Likert
from fairlead.serving.kept import Completed, Kept
from fairlead.serving.problems import Gone, NotFound
from fairlead.serving.votes import Votes, open_votes

PROMPTS = asked(6)


@pytest.fixture
def votes(tmp_path):
    found = open_votes(str(tmp_path / "labels.db"), "chat")
    yield found
    found.close()


@pytest.fixture
def server(votes):
    with Running(votes=votes) as server:
        yield server


def give(server, **opinion):
    return httpx.post(server.address + "/v1/feedback", json=opinion, timeout=30)


def exported(votes, name, tmp_path, **settings):
    """What a recipe's `data: {feedback: ..., campaign: ...}` reads."""
    number = find_campaign(votes.store, LOCAL, name).id
    folder = tmp_path / name.replace("/", "-")
    folder.mkdir()
    how = ExportSettings(**settings)
    export_into(votes.store, LOCAL, number, folder, how, now=datetime.now(UTC))
    return read(folder / "train.jsonl").records


def reply(server, prompt, **more):
    answer = server.chat(prompt, max_tokens=8, **more)
    return answer.id, answer.choices[0].message.content


def test_opinions_leave_as_the_records_that_were_posted(server, votes, tmp_path):
    known = [reply(server, prompt) for prompt in PROMPTS]
    goods = [True, False, True, True, False, False]
    scores = [1, 7, 3, 4, 5, 2]
    for k, (name, _) in enumerate(known):
        for opinion in ({"good": goods[k]}, {"score": scores[k]}, {"preferred": f"better {k}"}):
            answer = give(server, completion_id=name, user=f"user {k % 2}", **opinion)
            assert answer.status_code == 200 and answer.json()["status"] == "stored"

    thumbs = exported(votes, "served/chat-good", tmp_path)
    assert [one.prompt.messages for one in thumbs] == [p.messages for p in PROMPTS]
    assert [one.response for one in thumbs] == [text for _, text in known]
    assert [one.value for one in thumbs] == [float(good) for good in goods]

    ratings = exported(votes, "served/chat-score", tmp_path)
    assert [one.response for one in ratings] == [text for _, text in known]
    assert [one.value for one in ratings] == scores

    pairs = exported(votes, "chat-preferred", tmp_path, records="each")
    assert [one.chosen for one in pairs] == [f"better {k}" for k in range(6)]
    assert [one.rejected for one in pairs] == [text for _, text in known]
    assert {one.prompt.provenance.source for one in pairs} == {"feedback:served/chat-preferred"}
    people = [one.prompt.provenance.annotator for one in pairs]
    assert len(set(people)) == 2 and people == people[:2] * 3
    assert verify_audit(votes.store).whole


def test_streamed_completions_take_opinions_too(server, votes, tmp_path):
    stream = list(server.chat(PROMPTS[0], max_tokens=8, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert give(server, completion_id=stream[0].id, good=True).status_code == 200
    assert [one.response for one in exported(votes, "chat-good", tmp_path)] == [text]


def test_the_same_opinion_again_changes_nothing_and_another_one_revises(server, votes, tmp_path):
    name, _ = reply(server, PROMPTS[0])
    first = {"completion_id": name, "good": True, "user": "u", "comment": "nice"}
    told = [give(server, **first).json() for _ in range(3)]
    assert [one["status"] for one in told] == ["stored", "same", "same"]
    changed = give(server, **{**first, "good": False}).json()
    assert (changed["status"], changed["revision"]) == ("revised", 2)
    assert [one.value for one in exported(votes, "chat-good", tmp_path)] == [0.0]


def test_people_and_keys_tell_opinions_apart(server, votes, tmp_path):
    name, text = reply(server, PROMPTS[0])
    for own in ({"user": "a"}, {"user": "b"}, {"key": "1"}, {"key": "2"}, {"key": "2"}):
        assert give(server, completion_id=name, good=True, **own).status_code == 200
    records = exported(votes, "chat-good", tmp_path, records="each")
    assert [one.response for one in records] == [text] * 4
    assert len({one.prompt.provenance.annotator for one in records}) == 3


def test_many_at_once_are_all_stored_once(server, votes, tmp_path):
    known = [reply(server, prompt)[0] for prompt in PROMPTS]
    statuses = []

    def send(k):
        answer = give(server, completion_id=known[k % 6], good=k % 2 == 0, user=f"u{k % 6}")
        statuses.append(answer.json()["status"])

    threads = [threading.Thread(target=send, args=(k,)) for k in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == ["same"] * 18 + ["stored"] * 6
    assert len(exported(votes, "chat-good", tmp_path)) == 6


def test_one_of_several_replies_must_be_named(server, votes, tmp_path):
    answer = server.chat(PROMPTS[0], n=3, max_tokens=8, seed=1)
    refused = give(server, completion_id=answer.id, good=True)
    assert refused.status_code == 400 and "choice: 0 to 2" in refused.json()["error"]["message"]
    assert give(server, completion_id=answer.id, good=True, choice=3).status_code == 400
    assert give(server, completion_id=answer.id, good=True, choice=2).status_code == 200
    records = exported(votes, "chat-good", tmp_path)
    assert [one.response for one in records] == [answer.choices[2].message.content]


def test_names_of_people_stay_in_accounts_and_can_be_forgotten(server, votes, tmp_path):
    name, _ = reply(server, PROMPTS[0])
    give(server, completion_id=name, good=True, user="anna@example.org")
    with votes.store.read() as session:
        query = select(Account.login, Annotator.id)
        query = query.join(Annotator, Annotator.account_id == Account.id)
        ((login, pseudonym),) = session.execute(query).tuples()
    assert login == "outside:anna@example.org" and "anna" not in pseudonym
    number = find_campaign(votes.store, LOCAL, "chat-good").id
    export_into(votes.store, LOCAL, number, tmp_path, ExportSettings(), now=datetime.now(UTC))
    written = "".join(file.read_text() for file in tmp_path.glob("*.json*"))
    assert "anna" not in written and pseudonym not in written
    forget_me(votes.store, LOCAL, annotator=pseudonym, now=datetime.now(UTC))
    with votes.store.read() as session:
        assert session.scalars(select(Account.login)).all() == []
    assert give(server, completion_id=name, good=True, user="anna@example.org").status_code == 200


@pytest.mark.parametrize(
    ("opinion", "status", "words"),
    [
        ({"completion_id": "chatcmpl-none", "good": True}, 404, "no completion of this id"),
        ({}, 400, "expected one of good, score, preferred; got none of them"),
        ({"good": True, "score": 3}, 400, "got good and score"),
        ({"good": "yes"}, 400, "good"),
        ({"good": True, "stars": 3}, 400, "stars"),
        ({"score": 0}, 400, "a whole number from 1 (very bad) to 7 (very good), got 0"),
        ({"score": 8}, 400, "got 8"),
        ({"score": 2.5}, 400, "got 2.5"),
        ({"preferred": ""}, 400, "at least 1 character"),
        ({"good": True, "choice": 1}, 400, "no such reply"),
        ({"good": True, "comment": "x" * 20_001}, 400, "at most 20000 characters"),
        ({"preferred": "a\x00b"}, 400, "NUL"),
    ],
)
def test_opinions_that_do_not_fit(server, opinion, status, words):
    name, _ = reply(server, PROMPTS[0])
    answer = give(server, **{"completion_id": name, **opinion})
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]


def test_the_given_reply_cannot_be_preferred_to_itself(server):
    name, text = reply(server, PROMPTS[0])
    answer = give(server, completion_id=name, preferred=text)
    assert answer.status_code == 400 and "send good: true" in answer.json()["error"]["message"]


def test_a_closed_campaign_takes_no_opinions(server, votes):
    name, _ = reply(server, PROMPTS[0])
    number = find_campaign(votes.store, LOCAL, "chat-good").id
    campaigns.set_campaign_state(votes.store, LOCAL, number, "closed", now=datetime.now(UTC))
    answer = give(server, completion_id=name, good=True)
    assert (
        answer.status_code == 409 and "an open one, got closed" in answer.json()["error"]["message"]
    )


def test_without_a_store_there_is_a_remedy(running):
    name, _ = reply(running, PROMPTS[0])
    answer = give(running, completion_id=name, good=True)
    assert answer.status_code == 501
    assert "--feedback FILE.db" in answer.json()["error"]["message"]


def test_campaigns_are_found_again_and_others_of_their_name_refused(tmp_path):
    db = str(tmp_path / "labels.db")
    store = open_store(db)
    scale = Plan(project="p", campaign="c-score", settings=CampaignSettings(work=Likert(levels=3)))
    carry_out(store, scale, now=datetime.now(UTC))
    first, again = Votes(store, "p/c"), Votes(store, "p/c")
    assert {q: c.id for q, c in first.campaigns.items()} == {
        q: c.id for q, c in again.campaigns.items()
    }
    assert first.campaigns["score"].settings.work.levels == 3
    other = Plan(project="p", campaign="d-good", settings=CampaignSettings(work=Likert()))
    carry_out(store, other, now=datetime.now(UTC))
    with pytest.raises(ConfigError, match="asks something else"):
        Votes(store, "p/d")
    store.close()


def completed(k: int, text: str = "reply") -> Completed:
    return Completed(f"chatcmpl-{k}", PROMPTS[0].messages, (text,), NAME, {})


def test_the_oldest_completions_go_first():
    kept = Kept(most=3)
    for k in range(5):
        kept.put(completed(k))
    assert [kept.get(f"chatcmpl-{k}").id for k in (2, 3, 4)] == [f"chatcmpl-{k}" for k in (2, 3, 4)]
    for k in (0, 1):
        with pytest.raises(Gone, match="too long ago"):
            kept.get(f"chatcmpl-{k}")
    with pytest.raises(NotFound):
        kept.get("chatcmpl-5")
    assert kept.size == sum(one.size for one in kept.completions.values())


def test_long_completions_push_out_more_than_short_ones():
    short, long = completed(0), completed(1, "x" * 990)
    kept = Kept(characters=short.size + long.size - 1)
    kept.put(short)
    kept.put(long)
    with pytest.raises(Gone):
        kept.get("chatcmpl-0")
    assert kept.get("chatcmpl-1").replies == ("x" * 990,)
