"""The page in a real browser: charts draw, a video plays, news arrives, alarms show, odd data is harmless."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dashboard.browser import Browser
from tests.dashboard.serving import Served, serving
from tests.dashboard.synthetic import Story, SyntheticRun

READY = "document.body.classList.contains('ready')"


@pytest.fixture(autouse=True)
def _no_complaints(browser: Browser) -> Iterator[None]:
    """Whatever a test does, the page must not throw or be refused anything, unless the test says so."""
    browser.complaints.clear()
    browser.look(1280, 900)
    yield
    assert [said for said in browser.complaints if "net::ERR_" not in said] == []  # a server may go away


def text(browser: Browser, selector: str) -> str:
    return str(browser.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))


def point(browser: Browser, event: str, selector: str, share: float) -> None:
    """A pointer event at this share of an element's width."""
    browser.evaluate(f"""(() => {{
        const element = document.querySelector({json.dumps(selector)}), box = element.getBoundingClientRect();
        const at = {{clientX: box.left + box.width * {share}, clientY: box.top + 40}};
        element.dispatchEvent(new PointerEvent({json.dumps(event)}, at));
    }})()""")


def open_run(browser: Browser, served: Served, *names: str) -> None:
    words = "&".join(f"{'with' if i else 'run'}={name}" for i, name in enumerate(names))
    browser.open(f"{served.address}#{words}")
    browser.wait_for(READY)


def test_charts_draw_what_the_run_wrote(browser: Browser, served: Served) -> None:
    open_run(browser, served, "run")
    assert text(browser, "#learning .answer").startswith("Yes. Success on published starts went from")
    browser.wait_for("document.querySelectorAll('#health .chart svg polyline').length >= 12")
    browser.wait_for("document.querySelectorAll('#learning .band').length >= 5")  # intervals, not only lines
    assert (
        browser.evaluate("document.querySelectorAll('.dumbbell .interval.after').length") == 5
    )  # all and 4 tasks
    assert browser.evaluate("document.querySelectorAll('.heat rect.cell').length") > 20
    assert browser.evaluate("[...document.querySelectorAll('.share')].every(part => part.clientWidth > 0)")
    assert "bottleneck" in text(browser, "#speed .answer")
    assert text(browser, "#attention .answer") == "Nothing."


def test_a_chart_tells_its_values_at_the_cursor(browser: Browser, served: Served) -> None:
    open_run(browser, served, "run")
    point(browser, "pointermove", "#learning .plot", 0.5)
    said = text(browser, "#learning .tip")
    assert said.startswith("update ")
    assert "episodes" in said


def test_a_video_plays_and_its_cursors_follow(browser: Browser, served: Served) -> None:
    open_run(browser, served, "run")
    browser.wait_for("document.querySelector('[data-episode=\"0-0000280\"]')")
    browser.evaluate("document.querySelector('[data-episode=\"0-0000280\"]').click()")
    browser.wait_for("document.querySelector('video').currentTime > 0.3")  # it plays
    assert browser.evaluate(
        "[...document.querySelectorAll('.moment .chart-title')].map(e => e.textContent.split(' ')[0])"
    ) == [
        "Progress",
        "Value",
        "Entropy",
    ]
    browser.evaluate(
        "(() => { const v = document.querySelector('video'); v.pause(); v.currentTime = v.duration / 2; })()"
    )
    browser.wait_for("!document.querySelector('video').seeking")
    where = "[...document.querySelectorAll('.moment .cursor')].map(c => +c.getAttribute('x1'))"
    across = browser.evaluate("document.querySelector('.moment svg').clientWidth")
    browser.wait_for(f"{where}.every(x => Math.abs(x - (40 + ({across} - 48) / 2)) < {across} * 0.03)")
    point(browser, "pointerdown", ".moment svg", (40 + (across - 48) * 0.25) / across)
    browser.wait_for(
        "(v => Math.abs(v.currentTime / v.duration - 0.25) < 0.02)(document.querySelector('video'))"
    )


def test_news_arrives_by_itself_within_two_seconds(browser: Browser, tmp_path: Path) -> None:
    synthetic = SyntheticRun(
        tmp_path / "live", Story(num_updates=5, num_episodes=20, ended=False, now=time.time())
    ).write()
    with serving(tmp_path) as served:
        open_run(browser, served, "live")
        browser.wait_for("document.querySelector('#live').textContent.startsWith('running')")
        browser.wait_for("document.querySelector('.facts dd').textContent.startsWith('5 ')")
        time.sleep(1.5)  # the page fetches at most once a second: let the first fetch be over
        began = time.monotonic()
        synthetic.append("metrics.jsonl", synthetic.scalars(6))
        browser.wait_for("document.querySelector('.facts dd').textContent.startsWith('6 ')", 10)
        assert time.monotonic() - began < 10.0  # it takes less than 2 s: `python -m benchmarks.dashboard`
    browser.wait_for("document.querySelector('#live').textContent.startsWith('connection lost')")


def test_alarms_show_in_words(browser: Browser, served: Served) -> None:
    open_run(browser, served, "sick")
    assert text(browser, "#alarm-count") == "3"
    said = text(browser, '[data-alarm="entropy_collapsed"]')
    assert "has stopped trying new things" in said
    assert "0.03 nats per token" in said
    assert "policy.temperature" in said
    assert "Fires at entropy below 0.1" in said
    browser.wait_for("document.querySelector('#live').textContent.includes('silent')")


def test_runs_are_compared_and_different_kinds_are_said(browser: Browser, served: Served) -> None:
    open_run(browser, served, "run", "other")
    assert browser.evaluate("document.querySelectorAll('#learning .answer').length") == 2
    browser.wait_for("document.querySelectorAll('#learning .chart:first-child .line').length >= 2")
    said = text(browser, "#problems")
    assert "different suites (run: libero_spatial, other: libero_goal)" in said
    assert "estimate advantages differently" in said


def test_a_missing_run_and_a_missing_video_are_said_and_the_rest_works(
    browser: Browser, tmp_path: Path
) -> None:
    story = Story(num_updates=8, num_episodes=40, num_tasks=2)
    SyntheticRun(tmp_path / "run", story).write()
    for video in (tmp_path / "run" / "episodes").glob("*.mp4"):
        video.unlink()
    with (tmp_path / "run" / "events.jsonl").open("a") as events:
        events.write('{"half": ')
    with (tmp_path / "run" / "metrics.jsonl").open("a") as metrics:
        metrics.write("what is this\n")
    with serving(tmp_path) as served:
        open_run(browser, served, "run", "gone")
        browser.wait_for("document.querySelector('.player .problem').textContent.includes('is not there')")
        said = text(browser, "#problems")
        assert "there is no run named 'gone' here" in said
        assert "1 line of metrics.jsonl could not be understood" in said
        browser.wait_for("document.querySelectorAll('#health .chart svg polyline').length >= 12")
    assert [c for c in browser.complaints if "/api/run/gone" not in c] == []
    browser.complaints.clear()


def test_what_a_run_wrote_is_text_and_never_markup(browser: Browser, tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    synthetic = SyntheticRun(tmp_path / "run", Story(num_updates=3, num_episodes=9, num_tasks=1)).write()
    synthetic.append("events.jsonl", synthetic.event(3, "fault", fault=evil, reason=evil, count=1))
    outcome = {
        "success": True,
        "steps": 5,
        "return": 1.0,
        "min_version": 0,
        "max_version": 0,
        "video": "episodes/x.mp4",
    }
    synthetic.append(
        "events.jsonl", synthetic.event(3, "episode", episode=evil, start=f"{evil}/0/fresh-1", **outcome)
    )
    with serving(tmp_path) as served:
        open_run(browser, served, "run")
        browser.wait_for("document.querySelector('.faults')")
        browser.wait_for("document.querySelector('.episodes button')")
        assert evil in text(browser, ".faults")
        assert browser.evaluate("document.querySelectorAll('img').length") == 0


@pytest.mark.parametrize(("width", "phone"), [(1280, False), (390, True)])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_and_can_be_read(
    browser: Browser, served: Served, width: int, phone: bool, dark: bool
) -> None:
    browser.look(width, 844, dark=dark, phone=phone)
    open_run(browser, served, "sick", "run")
    browser.wait_for("document.querySelectorAll('#speed .chart svg').length >= 6")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    for selector in (".answer", ".note", ".tick", ".alarm-strip a", ".dumbbell-said"):
        assert contrast(browser, selector) >= 4.5, selector  # WCAG AA


def contrast(browser: Browser, selector: str) -> float:
    """Contrast ratio of a text's colour against what lies behind it, as WCAG defines it."""
    return float(browser.evaluate(f"({CONTRAST})({json.dumps(selector)})"))


CONTRAST = """selector => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1});
  const context = canvas.getContext('2d', {willReadFrequently: true});
  const rgba = color => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const linear = c => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = color => {
    const [r, g, b] = rgba(color).map(c => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const element = document.querySelector(selector), style = getComputedStyle(element);
  let behind = element;
  while (rgba(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
  const a = light(element instanceof SVGElement ? style.fill : style.color);
  const b = light(getComputedStyle(behind).backgroundColor);
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""
