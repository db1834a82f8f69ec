"""Pages of the site that are not in docs/: notebooks as they ran, and Markdown of the repository (a hook of mkdocs)."""

import base64
import os.path
import re
from pathlib import Path
from typing import Any

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
_PAGES = ["CONTRIBUTING.md", "CHANGELOG.md", "posterior/assets/README.md"]
_LINK = re.compile(r"(?<=\]\()(?!https://|#)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The site's files, with those from elsewhere in the repository."""
    for name in _PAGES:
        files.append(File.generated(config, name, content=(ROOT / name).read_text(encoding="utf-8")))
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text, images = rendered(notebook)
        files.append(File.generated(config, f"notebooks/{notebook.stem}.md", content=text))
        for name, content in images.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files


def on_page_markdown(markdown: str, page: Page, files: Files, **_: Any) -> str:
    """The page's text with links that hold in the repository made to hold in the site."""
    source = page.file.src_uri
    own = source if source.startswith(("notebooks/", *_PAGES)) else f"docs/{source}"

    def placed(link: re.Match[str]) -> str:
        target = os.path.normpath(os.path.join(os.path.dirname(own), link[1]))
        target = re.sub(r"\.ipynb$", ".md", target.removeprefix("docs/"))
        return os.path.relpath(target, os.path.dirname(source) or ".")

    return _LINK.sub(placed, markdown)


def rendered(notebook: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown, and its images by name."""
    parts, images = list[str](), dict[str, bytes]()
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "markdown":
            parts.append(re.sub(r"(?<!\$)\$([^$\n]+)\$(?!\$)", r"\\(\1\\)", cell.source))
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{notebook.stem}-{len(images) + 1}.png"
                images[name] = base64.b64decode(data["image/png"])
                parts.append(f"![Output of the cell above]({name})")
            elif "text/html" in data or "text/markdown" in data:
                parts.append(data.get("text/markdown") or data["text/html"])
            else:
                parts.append(f"```text\n{output.get('text') or data['text/plain']}\n```")
    return "\n\n".join(parts), images
