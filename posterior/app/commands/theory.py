"""The command that measures what compressed sensing with a generator promises: `posterior theory`."""

from __future__ import annotations

from pathlib import Path

from posterior.app.running import default_device
from posterior.app.theory import study
from posterior.errors import IncompatibleError
from posterior.figures.page import save_figure
from posterior.figures.theory import theory_figure
from posterior.io.writing import check_writable, write_text
from posterior.priors.generators import GeneratorPrior
from posterior.priors.zoo import load_prior
from samplers.map import CSGM

_COUNTS = (20, 50, 100, 200, 400)
_PAGE = """# Compressed sensing with {prior}

The least ratios ‖A(x₁ − x₂)‖/‖x₁ − x₂‖ of pairs of its images, where ‖Ax‖ is ‖x‖ on average (γ of the set-restricted
eigenvalue condition is at most the least of them), and the error of planted images by m Gaussian measurements, beside
6 · representation + 3 · noise + 2 · optimisation.

![γ and the bound](theory.png)

## Restricted eigenvalues

{eigenvalues}

## Errors and their bound

{recoveries}
"""


def theory(
    prior: str = "digits-vae",
    num_measurements: list[int] | None = None,
    num_pairs: int = 32,
    num_problems: int = 8,
    steps: int = 100,
    restarts: int = 3,
    outside: float = 0.1,
    noise_std: float = 0.01,
    out: Path = Path("results/theory"),
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Measure which images operators confuse under a generator, and the bound of what compressed sensing recovers.

    Args:
        prior: Name of a shipped generator, or a folder.
        num_measurements: Numbers of measurements, as in [50,200]; 20, 50, 100, 200 and 400 unless given.
        num_pairs: Pairs of images from which those that are most alike to the operator are searched.
        num_problems: Images that are planted and recovered.
        steps: Gradients of the search; a recovery takes twice as many.
        restarts: Starting points of each recovery.
        outside: How far the planted images are outside the generator's range, relative to their norms.
        noise_std: Standard deviation of the noise.
        out: Folder for theory.md and theory.png.
        seed: Seed of all that is random.
        progress: Whether to show a progress bar.
    """
    check_writable(out / "theory.md")  # before the work
    generator = load_prior(prior, device=default_device())
    if not isinstance(generator, GeneratorPrior):
        raise IncompatibleError(f"{prior} is a {type(generator).__name__}; the theory is about generators: digits-vae")
    found = study(
        generator, CSGM(restarts, 2 * steps, 0.1, weight=0.0), num_measurements or _COUNTS, num_pairs=num_pairs,
        steps=steps, num_problems=num_problems, outside=outside, noise_std=noise_std, seed=seed, progress=progress,
    )  # fmt: skip
    tables = found.eigenvalue_table(), found.recovery_table()
    print("\n\n".join(tables))
    save_figure(theory_figure(found.eigenvalues, found.recoveries), out / "theory.png")
    write_text(out / "theory.md", _PAGE.format(prior=prior, eigenvalues=tables[0], recoveries=tables[1]))
    print(f"saved to {out / 'theory.md'}")
