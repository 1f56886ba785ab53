"""`everyspan serve` as an operator starts it: its settings file, its log, and the files in deploy/."""

from __future__ import annotations

import json
import logging
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from everyspan.cli.logs import AsJson, OneLine, Seldom
from everyspan.cli.serving import serve
from everyspan.cli.serving_file import read_settings
from everyspan.collector.issued import KeyFile, Scope
from everyspan.errors import SettingsError
from tests.collector_requests import get

DEPLOY = Path(__file__).parents[2] / "deploy"


def test_a_server_is_told_everything_by_a_file_and_the_command_line_wins(tmp_path: Path) -> None:
    (tmp_path / "everyspan.toml").write_text(
        'port = 1\ndata_dir = "data"\nkeys = ["pk-a:sk-a"]\nretain = ["30d"]\nlog = "json"\n'
    )
    command = [
        sys.executable,
        "-m",
        "everyspan.cli.main",
        "serve",
        "--config",
        "everyspan.toml",
        "--port",
        "0",
    ]

    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        answers = [get(f"{url}/api/v1/traces", Authorization=key).status for key in ("", "Bearer sk-a")]
        server.send_signal(signal.SIGTERM)
        said, _ = server.communicate(timeout=30)

    assert answers == [401, 200]
    assert server.returncode == 0
    assert "everything acknowledged is on disk" in said
    assert (tmp_path / "data" / "spans.db").exists()


def test_a_server_says_at_its_start_who_may_and_where_grpc_goes(tmp_path: Path) -> None:
    made = KeyFile(tmp_path)
    made.create(project="shop", scopes=[Scope.INGEST])
    made.create(project="gone", scopes=[Scope.READ], expires_ns=1)
    command = [sys.executable, "-m", "everyspan.cli.main", "serve", "--port", "0", "--grpc-port", "0"]

    with subprocess.Popen(
        [*command, "--data-dir", str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        said = list(iter(server.stdout.readline, "  to stop        Ctrl-C; nothing acknowledged is lost\n"))
        server.send_signal(signal.SIGTERM)

    assert "  who may        whoever has a key of shop\n" in said
    (grpc,) = (line.split()[-1] for line in said if "gRPC" in line)
    assert re.fullmatch(r"127\.0\.0\.1:[1-9]\d+", grpc)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("prot = 1", "'prot' is no setting"),
        ('port = "1"', "port is '1'"),
        ("port = 70000", "port is 70000"),
        ('keys = "pk:sk"', "keys is 'pk:sk'"),
        ("port =", "cannot be read"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_its_file(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "e.toml").write_text(text)

    with pytest.raises(SettingsError, match=named) as wrong:
        CliRunner().invoke(serve, ["--config", str(tmp_path / "e.toml")], catch_exceptions=False)

    assert "e.toml" in str(wrong.value)


@pytest.mark.parametrize(
    ("file", "options", "environment", "named"),
    [
        ('keys = ["pk:sk", "half"]', [], {}, "keys in .*e.toml: .*'half' lacks a half"),
        ("", ["--key", "half"], {}, "--key: .*'half' lacks a half"),
        ("", [], {"EVERYSPAN_KEYS": "pk:sk,half"}, "EVERYSPAN_KEYS: .*'half' lacks a half"),
        ('retain = ["5y"]', [], {}, "retain in .*e.toml: '5y'"),
        ("", ["--retain", "5y"], {}, "--retain: '5y'"),
        ("", [], {"EVERYSPAN_RETAIN": "5y"}, "EVERYSPAN_RETAIN: '5y'"),
    ],
)
def test_a_key_or_a_time_to_keep_that_means_nothing_is_named_with_where_it_was_set(
    tmp_path: Path, file: str, options: list[str], environment: dict[str, str], named: str
) -> None:
    (tmp_path / "e.toml").write_text(file)
    words = ["--config", str(tmp_path / "e.toml"), "--data-dir", str(tmp_path), *options]

    with pytest.raises(SettingsError, match=named):
        CliRunner(env=environment).invoke(serve, words, catch_exceptions=False)


def record(message: str) -> logging.LogRecord:
    try:
        raise ValueError("a\nb")
    except ValueError:
        return logging.LogRecord("everyspan", logging.ERROR, "", 0, message, (), sys.exc_info())


FORGED = "span 'x\n2026-01-01T00:00:00.000Z INFO everyspan: all is well\r\x1b[2J\u2028'"


def test_nobody_can_forge_a_line_of_the_log_by_what_they_send() -> None:
    line, as_json = OneLine().format(record(FORGED)), AsJson().format(record(FORGED))

    assert len(line.splitlines()) == len(as_json.splitlines()) == 1
    assert "\x1b" not in line + as_json
    assert json.loads(as_json)["message"] == FORGED
    assert "ValueError" in line
    assert "ValueError" in json.loads(as_json)["exception"]


def test_a_flood_of_one_kind_of_line_is_cut_and_counted_and_others_are_written() -> None:
    clock = iter([0.0] * 1000 + [9.9, 10.1, 10.2])
    seldom = Seldom(most=20, within_s=10, now_s=lambda: next(clock))

    written = sum(seldom.filter(record("no HTTP")) for _ in range(999))
    other = seldom.filter(record("something else"))
    late, after, next_one = record("no HTTP"), record("no HTTP"), record("no HTTP")

    assert (written, other) == (20, True)
    assert [seldom.filter(each) for each in (late, after, next_one)] == [False, True, True]
    assert after.getMessage() == "no HTTP (980 more like it were left out)"
    assert next_one.getMessage() == "no HTTP"


def test_the_files_for_deployment_name_what_exists() -> None:
    said = read_settings(DEPLOY / "everyspan.toml")
    unit, image, compose = (
        (DEPLOY / name).read_text() for name in ("everyspan.service", "Dockerfile", "compose.yaml")
    )
    options = {option for parameter in serve.params for option in parameter.opts}

    assert set(said) == {"host", "port", "grpc_port", "data_dir", "retain", "log"}
    assert set(re.findall(r"--[a-z-]+", unit.partition("ExecStart=")[2].splitlines()[0])) <= options
    assert set(re.findall(r'"(--[a-z-]+)"', image.partition("\nCMD")[2])) <= options
    for path in re.findall(r"^COPY ([\w./ -]+) /build", image, re.MULTILINE):
        assert all((DEPLOY.parent / each).exists() for each in path.split())
    assert set(re.findall(r"EVERYSPAN_[A-Z]+", compose)) == {"EVERYSPAN_STORE", "EVERYSPAN_KEYS"}


def test_the_image_builds_from_the_files_that_are_copied_into_it(tmp_path: Path) -> None:
    root, image = DEPLOY.parent, (DEPLOY / "Dockerfile").read_text()
    for sources, target in re.findall(r"^COPY ([\w./ -]+) /build(\S*)", image, re.MULTILINE):
        for each in sources.split():
            place = tmp_path / target.strip("/") / (Path(each).name if target.endswith("/") else "")
            place.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (root / each).is_dir() else shutil.copyfile)(root / each, place)

    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "built"], cwd=tmp_path, check=True
    )

    (built,) = (tmp_path / "built").iterdir()
    with zipfile.ZipFile(built) as wheel:
        assert {"everyspan/server.py", "everyspan/cli/demo_report.py"} <= set(wheel.namelist())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_every_line_of_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "everyspan.service"
    unit.write_text((DEPLOY / unit.name).read_text().replace("/opt/everyspan/bin/everyspan", sys.executable))

    said = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )

    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
