"""The documents say what the code says, and lead nowhere that is not there."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from core.metric_names import METRICS
from docs.build import render, stale, write_site
from docs.check import ROOT, anchors, documents, problems
from learner.metrics import METRICS as LEARNER_METRICS

CODE = ("core", "envs", "policy", "reward", "learner", "actors", "cluster", "dashboard", "cli", "scripts")
NOT_OURS = {  # messages of vLLM, torch, the system and Ray
    "is less than desired GPU memory utilization",
    "CUDA out of memory",
    "No space left on device",
    "Unauthorized: Missing authentication token",
}


def test_generated_parts_are_what_the_code_says() -> None:
    assert stale(documents()) == []


def test_no_reference_leads_nowhere() -> None:
    assert problems(documents()) == []


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ("[there](nowhere.md)", "the link to nowhere.md leads nowhere"),
        ("[there](clusters.md#moon)", "clusters.md has no heading #moon"),
        ("![picture](images/none.png)", "the link to images/none.png leads nowhere"),
        ("`learner.leer=1`", "there is no setting `learner.leer`"),
        ("```\nvlarl trian x\n```", "there is no command `vlarl trian`"),
        ("see `cluster/moon.py`", "there is no file `cluster/moon.py`"),
    ],
)
def test_each_kind_of_mistake_is_found(line: str, mistake: str) -> None:
    file = ROOT / "docs/.mistaken.md"
    try:
        file.write_text(f"# Title\n\n{line}\n")
        (found,) = problems([file])
    finally:
        file.unlink()
    assert found.endswith(mistake)


def test_anchors_follow_the_rule_of_github() -> None:
    text = "# A title, with `code`\n```\n# no heading\n```\n## From 1 to 32"
    assert anchors(text) == {"a-title-with-code", "from-1-to-32"}


def test_every_message_in_troubleshooting_is_one_that_the_code_prints() -> None:
    text = (ROOT / "docs/troubleshooting.md").read_text()
    messages = re.findall(r"^### `(.+)`$", text, flags=re.MULTILINE)
    assert len(messages) > 20
    printed = "\n".join(
        file.read_text()
        for folder in CODE
        for file in (ROOT / folder).rglob("*")
        if file.suffix in (".py", ".sh")
    )
    printed = re.sub(r'"\s*\n\s*f?"', "", printed)  # a message that goes on in the next line
    for message in set(messages) - NOT_OURS:
        parts = [part.strip() for part in message.split("…") if part.strip()]
        assert all(part in printed for part in parts), message


class Links(HTMLParser):
    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.targets += [value for name, value in attributes if name in ("href", "src") and value]


def test_every_link_of_the_site_leads_to_a_file_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("docs.build.SITE", tmp_path / "site")
    write_site([file for file in documents() if file.parent in (ROOT, ROOT / "docs")])
    pages = list((tmp_path / "site").glob("*.html"))
    assert len(pages) > 10
    for page in pages:
        for target in Links(page).targets:
            name = target.partition("#")[0]
            if name and not name.startswith("https:"):
                assert (page.parent / name).exists(), f"{page.name}: {target}"


def test_headings_get_anchors_and_tables_are_tables() -> None:
    page = render(ROOT / "docs/clusters.md")
    assert '<h2 id="which-numbers-and-why">' in page
    assert "<table>" in page


def test_every_metric_has_a_table() -> None:
    page = (ROOT / "docs/metrics.md").read_text()
    assert [name for name in METRICS | LEARNER_METRICS if f"| `{name}` |" not in page] == []
    assert not METRICS.keys() & LEARNER_METRICS.keys()
