"""Small faults put into the code one at a time, to see whether a test finds each: `python -m tests.mutants --help`.

A fault (a mutant) is a comparison, a sign, a constant or a statement changed in one place. It is run against those
tests alone that import the module, from the most particular to the most general, until one fails. What is no code is
left alone: docstrings, messages, annotations, and default settings, of which others are as right.

Which mutants are drawn depends on the seed and on the text of their lines, so that the same are drawn again after
changes elsewhere. Those that change nothing that is wrong, or that a test could see, are listed in `equivalent.toml`,
each with the reason, and are not counted.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import tempfile
import time
import tomllib
import warnings
from dataclasses import asdict
from pathlib import Path

from tests.mutants.bench import ROOT, Bench
from tests.mutants.finder import Finder, Mutant, digest

MODULES = (
    "samplers/**/*.py",
    "posterior/priors/reverse_diffusion.py",
    "posterior/likelihoods/*.py",
    "posterior/operators/*.py",
    "posterior/mri/*.py",
    "posterior/reconstruction/*.py",
)
EQUIVALENT = Path(__file__).with_name("equivalent.toml")


def main() -> None:
    """Run a sample of mutants and report those that no test killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="*", help="a pattern of files, such as 'samplers/guided/*'")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--report", type=Path, default=ROOT / "results/mutants.json", help="read, and gone on with")
    parser.add_argument("--survivors", action="store_true", help="run those again that survived")
    options = parser.parse_args()
    warnings.simplefilter("ignore", SyntaxWarning)  # of what compiles and makes no sense

    listed = tomllib.loads(EQUIVALENT.read_text()).get("mutant", [])
    equivalent = {(entry["file"], entry["before"], entry["after"]) for entry in listed}
    report = json.loads(options.report.read_text()) if options.report.exists() else {"mutants": []}
    results = {Mutant(**entry["mutant"]): entry for entry in report["mutants"]}
    options.report.parent.mkdir(parents=True, exist_ok=True)
    paths = sorted({path for pattern in MODULES for path in ROOT.glob(pattern)})
    mutants = [mutant for path in paths for mutant in Finder(str(path.relative_to(ROOT)), path.read_bytes()).found]
    results = {mutant: results[mutant] for mutant in mutants if mutant in results}  # of today's code
    mutants = [mutant for mutant in mutants if fnmatch.fnmatch(mutant.file, options.only)]
    mutants.sort(key=lambda m: digest(options.seed, m.file, m.before, m.after))
    sample = mutants[: options.count]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for mutant in sample:
            if (mutant.file, mutant.before, mutant.after) in equivalent:
                results[mutant] = dict(status="equivalent", by="", seconds=0.0)
            elif mutant not in results or (options.survivors and results[mutant]["status"] == "survived"):
                begun = time.monotonic()
                status, by = bench.run(mutant)
                results[mutant] = dict(status=status, by=by, seconds=round(time.monotonic() - begun, 1))
            report["mutants"] = [entry | {"mutant": asdict(mutant)} for mutant, entry in results.items()]
            options.report.write_text(json.dumps(report, indent=1, ensure_ascii=False))
            status, by = results[mutant]["status"], results[mutant]["by"]
            print(f"{status:10} {mutant.file}:{mutant.line} ({mutant.kind}) {by}", flush=True)
            if status == "survived":
                print(f"  - {mutant.before}\n  + {mutant.after}", flush=True)
    statuses = [results[mutant]["status"] for mutant in sample]
    counted = len(sample) - statuses.count("equivalent")
    dead = counted - statuses.count("survived")
    print(f"{dead} of {counted} killed ({dead / max(1, counted):.1%}), {len(sample) - counted} equivalent")


if __name__ == "__main__":
    main()
