"""The addresses of the server, and what happens to a request on its way to the model."""

import asyncio
import copy
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from jinja2 import TemplateError
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from fairlead.core.errors import FairleadError
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat, Ids
from fairlead.generation.local import room_of
from fairlead.generation.sampling import Sampling
from fairlead.models.policy import Policy
from fairlead.records import Message, Prompt
from fairlead.serving.gate import Gate
from fairlead.serving.kept import Completed, Kept
from fairlead.serving.orders import Job, Order, Piece
from fairlead.serving.problems import (
    Broken,
    NotAllowed,
    NotConfigured,
    NotFound,
    Refusal,
    as_refusal,
    body,
    event,
    headers,
    new_id,
)
from fairlead.serving.requests import (
    ChatRequest,
    CompletionRequest,
    FeedbackRequest,
    ReplyRequest,
)
from fairlead.serving.settings import ServeSettings
from fairlead.serving.wire import Answer, Chat, Dialect, Plain
from fairlead.serving.worker import Worker

if TYPE_CHECKING:
    from fairlead.serving.votes import Votes

PROMPTS = logging.getLogger("fairlead.serving.prompts")
OWNER = "fairlead"


@dataclass(frozen=True)
class Served:
    """What is served."""

    policy: Policy
    defaults: Sampling
    """How replies are drawn where a request says nothing."""
    decoder: str | None = None
    """What chooses the replies; None where they are drawn token by token."""
    follows: frozenset[str] = frozenset(Sampling.model_fields)
    """Settings of a request that change anything."""


class Desk:
    """Takes requests in: understands, checks, queues, and writes the answers.

    Args:
        served: what is served.
        settings: how.
        worker: who answers.
        votes: where opinions go; None where no store is configured.
    """

    def __init__(
        self, served: Served, settings: ServeSettings, worker: Worker, votes: "Votes | None"
    ) -> None:
        self.served, self.settings, self.worker, self.votes = served, settings, worker, votes
        self.room = room_of(served.policy)
        # A tokenizer of its own: the worker's must not be used by two threads.
        self.chat = ChatFormat(copy.deepcopy(served.policy.tokenizer))
        self.reader = ThreadPoolExecutor(1, "prompts")
        self.kept = Kept()
        self.numbers = count()
        base = served.policy.base
        self.fingerprint = f"fl_{base[:12] or 'unknown'}"

    async def chatted(self, asked: ChatRequest, request: Request) -> Response:
        """The answer to a conversation."""
        prompt = asked.prompt
        ids = await self._read(self._prompt_ids, prompt)
        # What goes on with a turn that has begun keeps its white space.
        order = self._order(asked, ids, prompt=prompt, strip=not prompt.continues)
        return await self._answered(asked, order, prompt.messages, Chat(), request)

    async def completed(self, asked: CompletionRequest, request: Request) -> Response:
        """The continuation of a text."""
        if self.served.decoder is not None:
            raise Refusal(
                "this server answers conversations only",
                got=f"a server with --decoder {self.served.decoder}",
                remedy="use /v1/chat/completions",
            )
        ids = await self._read(self._text_ids, asked.text)
        order = self._order(asked, ids, prompt=None, strip=False)
        said = (Message(role="user", content=asked.text),)
        return await self._answered(asked, order, said, Plain(), request)

    async def voted(self, given: FeedbackRequest) -> Response:
        """Stores an opinion."""
        if self.votes is None:
            raise NotConfigured(
                "this server keeps no feedback",
                remedy="start it with --feedback FILE.db --campaign NAME",
            )
        completed = self.kept.get(given.completion_id)
        return JSONResponse(await asyncio.to_thread(self.votes.give, given, completed))

    def models(self) -> dict[str, Any]:
        """The one model there is."""
        return {"object": "list", "data": [self.model(self.settings.name)]}

    def model(self, name: str) -> dict[str, Any]:
        """What there is to know of a model.

        Raises:
            NotFound: there is none of this name.
        """
        if name != self.settings.name:
            raise NotFound(
                f"there is no model {name}",
                expected=self.settings.name,
                remedy="ask for a model that GET /v1/models lists",
            ).at("model", "model_not_found")
        return {
            "id": name,
            "object": "model",
            "created": 0,
            "owned_by": OWNER,
            "context": self.room,
            "decoder": self.served.decoder,
        }

    def health(self) -> Response:
        """Whether requests are answered, and how busy the server is."""
        load, failure = self.worker.load, self.worker.failure
        broken = failure is not None and isinstance(failure, Broken)
        told = {
            "status": "failed" if broken else "stopping" if self.worker.draining else "ok",
            "model": self.settings.name,
            "running": load.running,
            "replies": load.rows,
            "waiting": load.waiting,
        }
        if failure is not None and broken:
            told["error"] = failure.where
        return JSONResponse(told, 200 if told["status"] == "ok" else 503)

    # Understanding

    async def _read(self, function: Any, asked: Any) -> Ids:
        """Tokens of a prompt; made in a thread, or a long prompt would hold up all streams."""
        ids: Ids = await asyncio.get_running_loop().run_in_executor(self.reader, function, asked)
        if len(ids) >= self.room:
            raise Refusal(
                "the prompt is too long",
                expected=f"at most {self.room - 1} tokens, as the model's context is {self.room}",
                got=f"{len(ids)} tokens",
                remedy="shorten the conversation, or use a model with a longer context",
            ).at("messages" if isinstance(asked, Prompt) else "prompt", "context_length_exceeded")
        return ids

    def _prompt_ids(self, prompt: Prompt) -> Ids:
        try:
            ids = self.chat.prompt_ids(prompt)
        except TemplateError as error:
            raise Refusal(
                "the model's chat template does not take this conversation",
                got=str(error),
                remedy="as a rule turns of user and assistant alternate, after one of system",
            ).at("messages") from error
        return _not_empty(ids)

    def _text_ids(self, text: str) -> Ids:
        return _not_empty(tuple(self.chat.tokenizer(text)["input_ids"]))

    def _order(self, asked: ReplyRequest, ids: Ids, *, prompt: Prompt | None, strip: bool) -> Order:
        self._check(asked)
        room = self.room - len(ids)
        longest = asked.longest or min(self.served.defaults.max_new_tokens, room)
        if longest > min(room, self.settings.max_tokens):
            raise self._too_many(longest, len(ids))
        own = Seed(self.settings.seed).child("request", next(self.numbers))
        given = {**asked.drawing, "max_new_tokens": longest}
        return Order(
            prompt=prompt,
            ids=ids,
            n=asked.n,
            sampling=self.served.defaults.model_copy(update=given),
            seed=own if asked.seed is None else Seed(asked.seed),
            top=asked.top,
            streams=asked.stream,
            strip=strip,
        )

    def _check(self, asked: ReplyRequest) -> None:
        """Refuses what this server cannot do, whoever is served."""
        if asked.model is not None:
            self.model(asked.model)
        idle = sorted(set(asked.drawing) - self.served.follows)
        if idle:
            raise Refusal(
                f"this server's decoder has no {idle[0]}",
                got=f"a server with --decoder {self.served.decoder}",
                remedy="leave it out",
            ).at(idle[0], "unsupported_parameter")
        if asked.n > self.settings.rows:
            raise Refusal(
                "too many replies at once",
                expected=f"n: at most {self.settings.rows}",
                got=str(asked.n),
            ).at("n")
        if self.served.decoder is not None and asked.top is not None:
            raise Refusal(
                "a reply that a reward chose has no log-probabilities",
                got=f"a server with --decoder {self.served.decoder}",
                remedy="leave logprobs out, or serve without a decoder",
            ).at("logprobs", "unsupported_parameter")

    def _too_many(self, longest: int, prompt: int) -> Refusal:
        limit, room = self.settings.max_tokens, self.room - prompt
        if longest > room:
            return Refusal(
                "prompt and reply together pass the model's context",
                expected=f"at most {self.room} tokens",
                got=f"{prompt} of prompt and {longest} of reply",
                remedy=f"ask for at most {min(room, limit)} tokens, or shorten the conversation",
            ).at("max_tokens", "context_length_exceeded")
        return Refusal(
            "so long a reply is not made here",
            expected=f"at most {limit} tokens",
            got=str(longest),
            remedy="ask for fewer, or start the server with a higher --max-tokens",
        ).at("max_tokens")

    # Answering

    async def _answered(
        self,
        asked: ReplyRequest,
        order: Order,
        messages: tuple[Message, ...],
        dialect: Dialect,
        request: Request,
    ) -> Response:
        answer = Answer(
            dialect,
            new_id(dialect.prefix),
            self.settings.name,
            self.fingerprint,
            len(order.ids),
            asked.stream_options.include_usage,
        )
        told = _Told(self, answer.id, messages, order)
        job = Job(order, self.settings.timeout_s, self.worker.withdraw)
        handed_over = False
        try:
            self.worker.submit(job)
            if not order.streams:
                async with _watched(job, request):
                    pieces = [piece async for batch in job.batches() for piece in batch]
                told.whole(pieces)
                return JSONResponse(answer.body(pieces))
            batches = job.batches()
            async with _watched(job, request):
                # What fails before the first token still has a status of its own.
                first = await anext(batches)
            handed_over = True
            return _Stream(_events(answer, first, batches, told), job)
        finally:
            if not handed_over:
                job.close()

    def tell(self, completed: Completed) -> None:
        """Keeps a completion for feedback, and logs it where that is wanted."""
        if self.votes is not None:
            self.kept.put(completed)
        if self.settings.log_prompts:
            asked = [message.model_dump() for message in completed.messages]
            PROMPTS.info("%s %r %r", completed.id, asked, completed.replies)


class _Told:
    """Collects the replies of a request, to be kept once they are whole."""

    def __init__(self, desk: Desk, name: str, messages: tuple[Message, ...], order: Order) -> None:
        self.desk, self.name, self.messages, self.order = desk, name, messages, order
        self.texts = [""] * order.n

    def add(self, piece: Piece) -> None:
        """Takes a piece."""
        self.texts[piece.index] += piece.text

    def whole(self, pieces: list[Piece] | None = None) -> None:
        """All pieces are there."""
        for piece in pieces or ():
            self.add(piece)
        sampling = self.order.sampling.model_dump(mode="json")
        decoder = self.desk.served.decoder
        own = {**sampling, "seed": self.order.seed.value}
        self.desk.tell(
            Completed(
                self.name,
                self.messages,
                tuple(self.texts),
                self.desk.settings.name,
                own if decoder is None else {**own, "decoder": decoder},
            )
        )


async def _events(
    answer: Answer, first: list[Piece], rest: AsyncIterator[list[Piece]], told: _Told
) -> AsyncIterator[str]:
    """The events of a stream; as many at a time as there are."""
    try:
        yield answer.begun(told.order.n) + _written(answer, first, told)
        async for batch in rest:
            yield _written(answer, batch, told)
    except FairleadError as error:
        yield event(as_refusal(error))
        return
    told.whole()
    yield answer.end()


def _written(answer: Answer, batch: list[Piece], told: _Told) -> str:
    for piece in batch:
        told.add(piece)
    return "".join(answer.more(piece) for piece in batch)


class _Stream(StreamingResponse):
    """A stream whose job ends with it, however it ends."""

    def __init__(self, events: AsyncIterator[str], job: Job) -> None:
        # Proxies must hand events on as they come.
        super().__init__(
            events, media_type="text/event-stream", headers={"x-accel-buffering": "no"}
        )
        self.job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.job.close()


class _Left(FairleadError):
    """The client has gone; nobody reads the answer."""


@asynccontextmanager
async def _watched(job: Job, request: Request) -> AsyncIterator[None]:
    """Within the block a job ends when its client goes away."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        job.arrived.put_nowait(_Left("the client has gone"))

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()


def _not_empty(ids: Ids) -> Ids:
    if not ids:
        raise Refusal(
            "the prompt has no tokens", remedy="send a text that the model's tokenizer knows"
        )
    return ids


def create_app(desk: Desk) -> FastAPI:
    """The application; `desk.worker` must have been started."""
    app = FastAPI(title="Fairlead", docs_url=None, redoc_url=None)

    @app.get("/health")
    async def health() -> Response:
        """Whether requests are answered."""
        return desk.health()

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """The models there are."""
        return desk.models()

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        """One model."""
        return desk.model(name)

    @app.post("/v1/chat/completions")
    async def chat(asked: ChatRequest, request: Request) -> Response:
        """Answers a conversation."""
        return await desk.chatted(asked, request)

    @app.post("/v1/completions")
    async def completions(asked: CompletionRequest, request: Request) -> Response:
        """Continues a text."""
        return await desk.completed(asked, request)

    @app.post("/v1/feedback")
    async def feedback(given: FeedbackRequest) -> Response:
        """Takes an opinion on a completion."""
        return await desk.voted(given)

    app.add_exception_handler(FairleadError, _of_ours)
    app.add_exception_handler(RequestValidationError, _unfit)
    app.add_exception_handler(HTTPException, _of_the_framework)
    app.add_middleware(Gate, settings=desk.settings)  # pyright: ignore[reportArgumentType]
    return app


# Errors as answers


async def _of_ours(request: Request, error: Any) -> Response:
    if isinstance(error, _Left):
        return Response(status_code=499)  # Seen by the log alone.
    refusal = as_refusal(error)
    return JSONResponse(body(refusal), refusal.status, headers(refusal))


async def _unfit(request: Request, error: Any) -> Response:
    first = error.errors()[0]
    # Parts with brackets are pydantic's own names for the ways to read a field.
    place = ".".join(str(part) for part in first["loc"][1:] if "[" not in str(part))
    said = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if first["type"] == "json_invalid":
        refusal = Refusal("the body is not JSON", got=str(first.get("ctx", {}).get("error", said)))
        return await _of_ours(request, refusal)
    if first["type"] == "missing":
        refusal = Refusal(f"{place or 'the body'} is missing", remedy="add it")
    elif first["type"] == "value_error":
        refusal = Refusal(said)
    else:
        refusal = Refusal(
            "the request does not fit",
            where=place,
            expected=said,
            got=_shown(first.get("input")),
            remedy="correct it and send the request again",
        )
    param = str(first["loc"][1]) if len(first["loc"]) > 1 else None
    return await _of_ours(request, refusal.at(param))


def _shown(value: Any) -> str:
    """A short value; of long ones and of whole messages the kind alone."""
    return repr(value) if isinstance(value, bool | int | float) else type(value).__name__


async def _of_the_framework(request: Request, error: Any) -> Response:
    if isinstance(error.__cause__, Refusal):  # Raised while the body was read.
        refusal = error.__cause__
    elif error.status_code == 404:
        refusal = NotFound(
            "there is no such address",
            expected="/v1/chat/completions, /v1/completions, /v1/models, /v1/feedback or /health",
            got=request.url.path[:200],
        )
    elif error.status_code == 405:
        refusal = NotAllowed("this address does not take such a request", got=request.method)
    else:
        refusal = Refusal(str(error.detail))
    return await _of_ours(request, refusal)
