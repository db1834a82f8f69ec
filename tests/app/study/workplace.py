"""A study to test with: three methods that differ in brightness, and a client that reads as a reader does."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette")
pytest.importorskip("httpx2")

from starlette.testclient import TestClient

from posterior.app.study.answers import Answers
from posterior.app.study.plan import Plan, read_plan
from posterior.app.study.server import study_app

LEVELS = {"Zubmethod": 0.2, "Yakmethod": 0.4, "Xylomethod": 0.6}
REFERENCE = 0.9
SECRETS = [*LEVELS, "vault", "groupone", "sliceq"]  # names that readers must not see


def write_study(folder: Path, images: int = 4, **changes: Any) -> Path:
    """Write study.yaml and its images, 6×5 pixels of the level of their method; None leaves a key out."""
    for name, level in {**LEVELS, "reference": REFERENCE}.items():
        (folder / "vault" / name / "groupone").mkdir(parents=True, exist_ok=True)
        for image in range(images):
            np.save(folder / "vault" / name / "groupone" / f"sliceq{image}.npy", np.full((6, 5), level, np.float32))
    keys = {
        "methods": {name: f"vault/{name}" for name in LEVELS},
        "reference": "vault/reference",
        "readers": ["ada", "grace"],
        "window": [0, 1],
        "repeats": 2,
        **changes,
    }
    path = folder / "study.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in keys.items() if value is not None))
    return path


class Study:
    """A study that is served in this process."""

    def __init__(self, folder: Path, images: int = 4, **changes: Any) -> None:
        self.plan: Plan = read_plan(write_study(folder, images, **changes))
        self.answers = Answers.create(self.plan)
        self.tokens = self.answers.invite()
        self.client = TestClient(study_app(self.answers))

    def reader(self, name: str = "ada") -> "Reader":
        return Reader(self.client, self.tokens[name])


class Reader:
    """Someone who reads: through the web alone."""

    def __init__(self, client: Any, token: str) -> None:
        self.client, self.headers = client, {"authorization": f"Bearer {token}"}

    def trial(self) -> dict[str, Any]:
        reply = self.client.get("/trial", headers=self.headers)
        assert reply.status_code == 200
        return dict(reply.json())

    def level(self, token: str) -> float:
        """The brightness of an image, by which a test knows its method."""
        reply = self.client.get(f"/image/{token}", headers=self.headers)
        assert reply.status_code == 200
        return float(np.asarray(Image.open(io.BytesIO(reply.content))).mean() / 255)

    def method(self, token: str) -> str:
        level = self.level(token)
        return min(LEVELS, key=lambda name: abs(LEVELS[name] - level))

    def post(self, ranking: Any, milliseconds: Any = 1000) -> Any:
        return self.client.post(
            "/answer", headers=self.headers, json={"ranking": ranking, "milliseconds": milliseconds}
        )

    def read_all(self, order: Callable[[list[str]], list[str]]) -> None:
        """Answer every trial that is left; `order` ranks names of methods, the best first."""
        trial = self.trial()
        while trial["images"]:
            of = {self.method(token): token for token in trial["images"]}
            reply = self.post([of[name] for name in order(list(of))])
            assert reply.status_code == 200
            trial = reply.json()
