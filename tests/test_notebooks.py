"""The notebooks run, in their smoke mode, and are committed with what they show at full size."""

import re
import warnings
from pathlib import Path

import nbformat
import nibabel
import pytest
import torch
from nbclient import NotebookClient

from posterior.data import read_kspace, write_nifti

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_BYTES = 1_500_000
MACHINE_PATHS = re.compile(r"(?<![\w.:/])/(?:home|Users|root|tmp|work|opt|usr|var|mnt)/|site-packages|[A-Z]:\\")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert NOTEBOOKS


@each_notebook
@pytest.mark.integration
@pytest.mark.filterwarnings("default")  # of the client's event loop, which are not ours
def test_runs_in_smoke_mode(path, monkeypatch):
    monkeypatch.setenv("POSTERIOR_SMOKE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    ).execute()  # raises if a cell does
    complaints = [o.text for c in notebook.cells for o in c.get("outputs", []) if o.get("name") == "stderr"]
    assert not complaints


@each_notebook
def test_is_committed_as_it_ran_from_top_to_bottom(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert [output for output in outputs if "image/png" in output.get("data", {})]
    assert cells[-1].outputs


@each_notebook
def test_is_small_and_says_nothing_of_the_machine(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    assert path.stat().st_size < MOST_BYTES
    texts = [cell.source for cell in code_cells(path)]
    for cell in code_cells(path):
        for output in cell.outputs:
            kinds = {k: v for k, v in output.get("data", {}).items() if not k.startswith("image/")}
            texts += [output.get("text", ""), *map(str, kinds.values())]
    assert not [text for text in texts if MACHINE_PATHS.search(text)]


def test_left_is_left_in_the_scan_that_a_notebook_makes(tmp_path, monkeypatch):
    """Of the shipped head rows go from left to right and columns from back to front."""
    monkeypatch.setenv("POSTERIOR_SMOKE", "1")
    first, second, *_ = code_cells(ROOT / "notebooks" / "04_mri.ipynb")
    names: dict = {}
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    with warnings.catch_warnings():
        exec(first.source.replace("%matplotlib inline", ""), names)
        exec(second.source, names)
    (raw,) = read_kspace(names["folder"] / "scan.mrd")
    write_nifti(tmp_path / "head.nii", raw.kspace.abs()[:1], raw.geometry)
    columns, rows, slices = nibabel.aff2axcodes(nibabel.load(tmp_path / "head.nii").affine)
    assert (rows, columns, slices) == ("R", "A", "S")
