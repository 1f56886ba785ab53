"""What gets loaded into a user's process, and which way the imports point."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import everyspan

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "everyspan"

HEAVY = {
    "anthropic",
    "click",
    "google",  # protobuf
    "grpc",
    "httpx",
    "langfuse",
    "litellm",
    "openai",
    "opentelemetry.exporter",
    "opentelemetry.proto",
    "pydantic",
    "requests",
    "rich",
    "sqlite3",
    "starlette",
    "uvicorn",
    "zstandard",
}
OUR_SERVER = {
    f"everyspan.{name}" for name in ("server", "collector", "store", "query", "web", "cli", "testing")
}


def loaded_by(code: str) -> set[str]:
    """Names of all modules in a new interpreter after `code`, and of the packages they are in."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules: list[str] = json.loads(done.stdout.splitlines()[-1])
    return {name.rsplit(".", up)[0] for name in modules for up in range(name.count(".") + 1)}


@pytest.mark.parametrize(
    "code",
    [
        "import everyspan.client",
        "import everyspan, os; os.environ['EVERYSPAN_ENDPOINT'] = 'http://127.0.0.1:9'; everyspan.init()",
        "import everyspan.run",
    ],
    ids=["import", "init", "run"],
)
def test_the_core_loads_no_server_no_client_library_and_no_protobuf(code: str, tmp_path: Path) -> None:
    loaded = loaded_by(f"import os; os.environ['EVERYSPAN_SPOOL_DIR'] = {str(tmp_path)!r}\n{code}")

    assert "opentelemetry.sdk.trace" in loaded
    assert loaded & (HEAVY | OUR_SERVER) == set()


def test_naming_the_package_loads_nothing_that_takes_long() -> None:
    loaded = loaded_by("import everyspan; assert everyspan.__version__ and 'init' in dir(everyspan)")

    assert loaded & {"opentelemetry", "asyncio", "decimal", "everyspan.client"} == set()


def test_every_name_of_the_package_is_there() -> None:
    for name in everyspan.__all__:
        assert getattr(everyspan, name) is not None, name
    with pytest.raises(AttributeError, match="inti"):
        everyspan.inti  # noqa: B018 - a slip of the pen


def test_the_client_for_notebooks_loads_no_library_beside_the_standard_one() -> None:
    loaded = loaded_by("import everyspan; everyspan.Client('http://127.0.0.1:1')")

    assert "everyspan.reading" in loaded
    assert loaded & (HEAVY | {"pandas", "polars", "pyarrow"}) == set()


def test_the_help_page_loads_no_server() -> None:
    loaded = loaded_by("from everyspan.cli.main import main\nassert main(['--help']) == 0")

    assert "click" in loaded
    assert loaded & (HEAVY | OUR_SERVER) == {"click", "everyspan.cli"}


def test_run_works_without_click(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys\nprint('ran with', sys.argv[1:])\nassert sys.modules['click'] is None")
    code = (
        "import sys; sys.modules['click'] = None\n"
        "from everyspan.cli.main import main\n"
        f"sys.exit(main(['run', {str(script)!r}, 'one', '--two']))"
    )
    environ = {"EVERYSPAN_SPOOL_DIR": str(tmp_path / "spool"), "EVERYSPAN_EXIT_TIMEOUT": "0"}

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=False
    )

    assert (done.returncode, done.stdout) == (0, "ran with ['one', '--two']\n"), done.stderr


def test_a_command_without_click_says_what_to_install() -> None:
    code = "import sys; sys.modules['click'] = None\nfrom everyspan.cli.main import main\nsys.exit(main(['traces']))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr == (
        "everyspan: this command needs click, which is not installed: pip install 'everyspan[all]'\n"
    )


def test_import_contracts_hold() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")

    done = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_only_settings_reads_the_environment() -> None:
    # The demo and the fakes start other programs, and hand them an environment.
    starters = ("cli/demo", "testing/")
    readers = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if not str(path.relative_to(SOURCE)).startswith(starters) and reads_environment(path)
    }

    assert readers == {"settings.py"}


def reads_environment(path: Path) -> bool:
    """Whether a module mentions `os.environ` or `os.getenv` in its code."""
    names = {"environ", "environb", "getenv", "getenvb"}
    return any(
        (isinstance(node, ast.Attribute) and node.attr in names and getattr(node.value, "id", "") == "os")
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and names & {each.name for each in node.names}
        )
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    )


def test_no_module_is_longer_than_four_hundred_lines() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for folder in ("src", "tests", "scripts", "benchmarks", "examples")
        for path in (ROOT / folder).rglob("*.py")
    }

    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}
