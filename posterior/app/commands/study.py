"""The commands of reader studies: `posterior study serve | analyse`."""

from __future__ import annotations

import ipaddress
import json
import socket
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from posterior.app.study.analysis import analyse
from posterior.app.study.answers import Answers
from posterior.app.study.plan import Plan, read_plan
from posterior.app.study.rendering import read_values
from posterior.app.study.tables import answers_csv, tables
from posterior.checks import Range, check_value
from posterior.errors import ShapeError
from posterior.figures import ranks_figure, save_figure
from posterior.io.extras import require
from posterior.io.locking import locked
from posterior.io.writing import check_writable, write_text

_OPEN = (
    "others can reach this address, and who reads the network sees tokens and images: put a proxy with TLS before it, "
    "or stay with --host 127.0.0.1 and let readers come through ssh -L"
)
_Port = Annotated[int, Range(0, 65535)]


def study_serve(study: Path, *, host: str = "127.0.0.1", port: int = 8000, new_token: list[str] | None = None) -> None:
    """Let readers rank reconstructions, blind; a link for each is printed once. Ctrl-C stops, the same command goes on.

    Args:
        study: The YAML file of the study: methods (a folder of images each), readers, window, and optionally reference,
            question, repeats, seed, out.
        host: Address to listen on; any but this machine's own lets others in, and nothing is encrypted.
        port: Port to listen on; 0 takes a free one.
        new_token: Readers who lost their link and get another; the old one is no longer valid.
    """
    for package in ("starlette", "uvicorn"):
        require(package, "study")
    from posterior.app.study.server import study_app, web_server

    check_value("study serve", "port", port, _Port)
    plan = read_plan(study)
    _check_images(plan)
    check_writable(plan.answers)
    with locked(plan.answers), _listening(host, port) as listener:
        answers = Answers.create(plan)
        tokens = answers.invite(new_token or [])
        address = _address(host, listener.getsockname()[1])
        _greet(plan, address, tokens)
        if not _is_loopback(host):
            print(f"posterior: {_OPEN}", file=sys.stderr)
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            web_server(study_app(answers)).run(sockets=[listener])
        print(f"stopped; all answers are in {plan.answers}")


def study_analyse(study: Path) -> None:
    """Say how the methods of a reader study rank, and how far readers agree; tables, CSV, JSON and a figure.

    Args:
        study: The YAML file of the study.
    """
    plan = read_plan(study)
    readings = Answers(plan).readings()
    trials = dict.fromkeys(plan.readers, len(plan.images) + plan.repeats)
    analysis = analyse(readings, tuple(plan.methods), trials)
    text = tables(analysis)
    if not analysis.complete:
        text += "\n\nNot all readers have finished: these numbers are preliminary, and no reason to stop or to go on."
    print(text)
    write_text(plan.out / "analysis.md", f"{text}\n")
    write_text(plan.out / "analysis.json", json.dumps(asdict(analysis), indent=2) + "\n")
    write_text(plan.out / "answers.csv", answers_csv(readings))
    save_figure(ranks_figure({group.name: group.shares for group in analysis.groups}), plan.out / "ranks.png")
    print(f"\nsaved to {plan.out}: analysis.md, analysis.json, answers.csv, ranks.png")


def _check_images(plan: Plan) -> None:
    """Read every image, so that no reader meets a broken one, or one that its size gives away."""
    for image in plan.images:
        shapes = {plan.file(image, method): read_values(plan.file(image, method)).shape[:2] for method in plan.shown}
        (first, expected), *others = shapes.items()
        for file, shape in others:
            if shape != expected:
                raise ShapeError(f"{file} has {shape} pixels and {first} {expected}; crop or resize one of them")


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        fault = error.strerror or error
        raise OSError(f"cannot listen on {_address(host, port)}: {fault}; choose another --port") from error


def _address(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _greet(plan: Plan, address: str, tokens: dict[str, str]) -> None:
    print(f"{len(plan.images)} images by {len(plan.methods)} methods, {plan.repeats} of them twice, at {address}")
    for reader, token in tokens.items():
        print(f"  {reader}: {address}#{token}")
    if tokens:
        print("Give each reader their own link; it is not kept, and not shown again.")
    if known := [reader for reader in plan.readers if reader not in tokens]:
        print(f"{', '.join(known)} have a link (a lost one is replaced by --new_token).")
