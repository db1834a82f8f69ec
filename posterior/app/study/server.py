"""The web application of a reader study: one page, and the current trial of whoever has an access token.

Nothing that is sent names a method or a file: images go by random tokens, which are looked up and never part of a path.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from importlib.resources import files
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from posterior.app.study.answers import Answers
from posterior.app.study.rendering import read_values, render
from posterior.errors import PosteriorError

_LONGEST_BODY = 4096  # bytes; an answer has a few hundred
_LONGEST_TIME = 10**9  # milliseconds
_PAGE = {
    "/": ("study/page/study.html", "text/html; charset=utf-8"),
    "/base.css": ("style/base.css", "text/css; charset=utf-8"),
    "/study.css": ("study/page/study.css", "text/css; charset=utf-8"),
    "/study.js": ("study/page/study.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("study/page/icon.svg", "image/svg+xml"),
}
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def study_app(answers: Answers) -> ASGIApp:
    """The application.

    `GET /trial` is what the reader has before them, `GET /image/<token>` one of its images as PNG. `POST /answer` takes
    {"ranking": [tokens from the best to the worst], "milliseconds": …}, and replies with the next trial once that is
    saved. All three need the reader's access token in the header `Authorization: Bearer <token>`.

    Args:
        answers: The answers of a study, and its plan.
    """
    plan = answers.plan

    def trial(request: Request) -> Response:
        return _shown(_reader(request))

    def image(request: Request) -> Response:
        found = answers.image(_reader(request), request.path_params["token"])
        if found is None:
            raise HTTPException(404, "there is no such image")
        values = read_values(plan.file(*found))
        plan.check_image(*found)  # after it was read: what is sent is the image of the study
        return Response(render(values, plan.window), media_type="image/png")

    async def answer(request: Request) -> Response:
        reader = await run_in_threadpool(_reader, request)
        ranking, milliseconds = _answer(await _body(request))
        if not await run_in_threadpool(answers.save, reader, ranking, milliseconds):
            raise HTTPException(409, "this is no ranking of the images that are to be ranked now")
        return await run_in_threadpool(_shown, reader)

    def _reader(request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        reader = answers.reader_of(token) if scheme.lower() == "bearer" else None
        if reader is None:
            raise HTTPException(401, "this access token is not known", {"www-authenticate": "Bearer"})
        return reader

    def _shown(reader: str) -> Response:
        return JSONResponse({**asdict(answers.current(reader)), "question": plan.question})

    def page(request: Request) -> Response:
        name, kind = _PAGE[request.url.path]
        return Response((files("posterior.app") / name).read_bytes(), headers={"content-type": kind})

    routes = [
        *(Route(path, page) for path in _PAGE),
        Route("/trial", trial),
        Route("/image/{token}", image),
        Route("/answer", answer, methods=["POST"]),
    ]
    handlers = {HTTPException: _refused, PosteriorError: _failed}
    return _with_headers(Starlette(routes=routes, exception_handlers=handlers))


def web_server(app: ASGIApp) -> uvicorn.Server:
    """A server that says and logs no more than it must."""
    options: dict[str, Any] = {"log_level": "warning", "access_log": False, "server_header": False}
    return uvicorn.Server(uvicorn.Config(app, interface="asgi3", lifespan="off", ws="none", **options))


def _with_headers(app: ASGIApp) -> ASGIApp:
    """An application that adds the headers of security to all that it sends, errors included."""
    headers = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        await app(scope, receive, sent)

    return guarded


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _failed(request: Request, error: Exception) -> Response:
    """The fault goes to who runs the study: its message may name a folder, and so a method."""
    print(f"posterior: {error}", file=sys.stderr, flush=True)
    return JSONResponse({"error": "the server has a fault; tell who runs the study"}, 503)


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST_BODY:
            raise HTTPException(413, f"an answer has at most {_LONGEST_BODY} bytes")
    return body


def _answer(body: bytes) -> tuple[list[str], int]:
    """The ranking and the time in an answer."""
    try:
        given = json.loads(body)
        ranking, milliseconds = given["ranking"], given["milliseconds"]
        distinct = len(set(ranking)) == len(ranking) > 0
        valid = (
            len(given) == 2
            and isinstance(ranking, list)
            and distinct
            and all(isinstance(token, str) for token in ranking)
            and type(milliseconds) is int
            and 0 <= milliseconds <= _LONGEST_TIME
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        valid = False
    if not valid:
        raise HTTPException(400, "an answer is a ranking, each image once, and a time in milliseconds")
    return ranking, milliseconds
