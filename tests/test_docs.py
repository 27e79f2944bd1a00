"""Documentation that fails when it lies: references equal the program, all is named, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import CliRunner

import scenarios
from agents import laboratory_file
from agents.devices import registry
from agents.scenario import reference
from agents.strategies import STRATEGIES
from api import message_reference, stream_reference
from api.cli import app
from api.cli_reference import commands, markdown
from market.events import Event
from market.orders import Command
from market.rules import CODES

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "scenarios").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def prose() -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


def tags(union: Any) -> list[str]:
    return [member.__struct_config__.tag for member in get_args(union)]


def readme_commands() -> list[list[str]]:
    """The `wattbook` lines of the front page, as argument lists."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [line for language, body in FENCE.findall(text) if language == "sh" for line in body.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("wattbook ")]


def test_the_command_line_reference_is_that_of_the_program() -> None:
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == markdown(), "docs/cli.md is old; run `make docs`"


def test_the_scenario_reference_is_that_of_the_models() -> None:
    assert (ROOT / "docs" / "scenario.md").read_text(encoding="utf-8") == reference(), (
        "docs/scenario.md is old; run `make docs`"
    )


def test_the_laboratory_reference_is_that_of_the_models() -> None:
    page = (ROOT / "docs" / "laboratory-file.md").read_text(encoding="utf-8")
    assert page == laboratory_file.reference(), "docs/laboratory-file.md is old; run `make docs`"


def test_the_message_reference_is_that_of_the_market() -> None:
    assert (ROOT / "docs" / "messages.md").read_text(encoding="utf-8") == message_reference.markdown(), (
        "docs/messages.md is old; run `make docs`"
    )


def test_the_reference_of_the_stream_is_that_of_the_server() -> None:
    page = (ROOT / "docs" / "stream.md").read_text(encoding="utf-8")
    assert page == stream_reference.markdown(), "docs/stream.md is old; run `make docs`"


@pytest.mark.parametrize("tag", tags(Event) + tags(Command))
def test_every_event_and_command_is_documented(tag: str) -> None:
    assert re.search(rf"`{tag}\b", prose())


@pytest.mark.parametrize("kind", get_args(Event) + get_args(Command))
def test_every_event_and_command_says_what_it_is(kind: type) -> None:
    assert kind.__doc__


@pytest.mark.parametrize("code", CODES)
def test_every_refusal_is_documented(code: str) -> None:
    assert f"`{code}`" in prose()


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_is_documented(name: str) -> None:
    assert f"`{name}`" in prose()


@pytest.mark.parametrize("name", registry.DEVICES)
def test_every_device_is_documented(name: str) -> None:
    assert f"`{name}`" in prose()


@pytest.mark.parametrize("name", scenarios.names())
def test_every_shipped_scenario_is_documented(name: str) -> None:
    assert re.search(rf"`{name}`|\*\*{name}\*\*", prose())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{page.name}: {target} leads nowhere"
        if anchor and place.suffix == ".md":
            assert anchor in anchors(place.read_text(encoding="utf-8")), f"{page.name}: {target} has no such heading"


def anchors(text: str) -> set[str]:
    """Anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ +(.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_of_the_documentation_is_in_its_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index


def test_commands_of_the_front_page_exist_with_their_options() -> None:
    known = dict(commands())
    assert len(readme_commands()) >= 5
    for arguments in readme_commands():
        name = "wattbook"
        while arguments and f"{name} {arguments[0]}" in known:
            name = f"{name} {arguments.pop(0)}"
        assert name != "wattbook"
        flags = {flag for param in known[name].params for flag in (*param.opts, *param.secondary_opts)}
        assert {argument for argument in arguments if argument.startswith("--")} <= flags


@pytest.mark.slow
def test_commands_of_the_front_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in readme_commands():
        kept = arguments[: arguments.index(">")] if ">" in arguments else arguments
        result = CliRunner().invoke(app, kept, prog_name="wattbook")
        assert result.exit_code == 0, f"wattbook {shlex.join(kept)}: {result.output}"


@pytest.mark.slow
def test_python_of_the_front_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for language, body in FENCE.findall(text):
        if language == "python":
            exec(compile(body, "README.md", "exec"), {})  # the example as a reader would type it
    assert capsys.readouterr().out
