"""Build the documents: make generated parts anew, check every reference, write a small site.

    python -m docs.build            what `make docs` runs; the site is in site/
    python -m docs.build --check    change nothing; fail if a generated part is not what the code says

In: docs/*.md and README.md. Out: site/*.html; exit code 1 with one line per mistake.
"""

import argparse
import html
import re
import shutil
import sys
from pathlib import Path

from docs.check import ROOT, documents, problems
from docs.generate import fill

SITE = ROOT / "site"
ORDER = ("quickstart", "how_it_works", "recipes", "clusters", "drills", "security", "troubleshooting")
"""Pages that come first in the menu, after the read-me; others follow by name."""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="style.css">
</head>
<body>
<nav>{menu}</nav>
<main>
{content}
</main>
</body>
</html>
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    args = parser.parse_args()
    files = documents()
    mistakes = stale(files) if args.check else []
    if not args.check:
        for file in stale_files(files):
            file.write_text(fill(file.read_text()))
    mistakes += problems(files)
    print("\n".join(mistakes), file=sys.stderr, end="\n" if mistakes else "")
    if not args.check:
        write_site([ROOT / "README.md", *_ordered(files)])
        print(f"{SITE / 'index.html'}")
    return int(bool(mistakes))


def stale_files(files: list[Path]) -> list[Path]:
    """Documents whose generated parts are not what the code says now."""
    return [file for file in files if fill(file.read_text()) != file.read_text()]


def stale(files: list[Path]) -> list[str]:
    return [
        f"{file.relative_to(ROOT)}: a generated part is out of date; run `make docs`"
        for file in stale_files(files)
    ]


def write_site(files: list[Path]) -> None:
    """One page a document, with all pictures and videos."""
    shutil.rmtree(SITE, ignore_errors=True)
    SITE.mkdir()
    for folder in ("images", "videos"):
        if (ROOT / "docs" / folder).is_dir():
            shutil.copytree(ROOT / "docs" / folder, SITE / folder)
    shutil.copy(ROOT / "docs/style.css", SITE)
    menu = "\n".join(f'<a href="{_page(file)}">{html.escape(_title(file))}</a>' for file in files)
    for file in files:
        page = PAGE.format(title=html.escape(_title(file)), menu=menu, content=render(file))
        (SITE / _page(file)).write_text(page)


def render(file: Path) -> str:
    """A document as HTML: headings get anchors, links lead to pages and files of the site."""
    from markdown_it import MarkdownIt

    content = MarkdownIt("commonmark").enable("table").render(file.read_text())
    content = re.sub(r"<h([1-6])>(.*?)</h\1>", _with_anchor, content)
    return re.sub(r'(href|src)="(?!https:)([^"#]*)(#[^"]*)?"', _to_site, content)


def _with_anchor(heading: re.Match[str]) -> str:
    level, content = heading[1], heading[2]
    text = html.unescape(re.sub(r"<[^>]+>", "", content))
    anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
    return f'<h{level} id="{anchor}">{content}</h{level}>'


def _to_site(link: re.Match[str]) -> str:
    attribute, target, anchor = link[1], link[2].removeprefix("docs/"), link[3] or ""
    name = Path(target).name
    if name == "README.md":
        target = "index.html"
    elif name.endswith(".md"):
        target = f"{Path(name).stem}.html"
    return f'{attribute}="{target}{anchor}"'


def _ordered(files: list[Path]) -> list[Path]:
    pages = {file.stem: file for file in files if file.parent == ROOT / "docs"}
    first = [pages.pop(name) for name in ORDER]
    return [*first, *pages.values()]


def _page(file: Path) -> str:
    return "index.html" if file.name == "README.md" else f"{file.stem}.html"


def _title(file: Path) -> str:
    first = re.search(r"^# (.+)$", file.read_text(), flags=re.MULTILINE)
    assert first is not None, f"{file} has no title"
    return first[1]


if __name__ == "__main__":
    sys.exit(main())
