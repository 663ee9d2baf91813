"""`souk submit` to a server that is not there, refuses, or is something else: one line each, and what stays is said."""

import socket
from pathlib import Path

import pytest

from tests.certificate_fixtures import *  # noqa: F403
from tests.kfp_server import Kubeflow, serve
from tests.submit_fixtures import *  # noqa: F403
from tests.submit_fixtures import submit

LOGIN = "<!doctype html><html><head><title>Sign in to\n Kubeflow</title></head><body>...</body></html>"


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]):
    """The one line of the error, after notes."""

    def read() -> str:
        lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
        assert len(lines) == 1, lines
        assert lines[0].startswith("souk submit: Expected ")
        return lines[0]

    return read


def test_a_host_that_is_down(config: Path, said) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert submit(url, config) == 2
    error = said()
    assert "no answer (Failed to establish a new connection: [Errno 111] Connection refused)" in error
    assert "kubectl -n kubeflow port-forward svc/ml-pipeline 8888" in error


def test_a_host_that_no_one_knows(config: Path, said) -> None:
    assert submit("http://kubeflow.invalid", config) == 2
    assert "no answer (Failed to resolve 'kubeflow.invalid'" in said()


def test_a_host_that_hangs_up(config: Path, said) -> None:
    with serve(Kubeflow(broken={"healthz_service_get_healthz": (0, "")})) as url:
        assert submit(url, config) == 2
    assert "no answer (" in said()


def test_a_host_without_a_scheme(config: Path, said) -> None:
    assert submit("localhost:8888", config) == 2
    assert "--host to be a URL. Received: 'localhost:8888'." in said()


def test_a_host_with_a_password_is_refused_and_not_shown(config: Path, said) -> None:
    assert submit("https://user:secret@127.0.0.1:9", config) == 2
    error = said()
    assert "--host without a user and password" in error
    assert "secret" not in error


def test_a_login_page_that_answers_200(kubeflow: Kubeflow, url: str, config: Path, said) -> None:
    kubeflow.broken["healthz_service_get_healthz"] = (200, LOGIN)
    assert submit(url, config) == 2
    error = said()
    assert "(text/html, titled 'Sign in to Kubeflow')" in error
    assert "--token-file FILE" in error


@pytest.mark.parametrize(
    ("status", "told"), [(200, "(text/html, titled 'Zugang verweigert für Sie')"), (403, "HTTP 403 Zugang verweigert")]
)
def test_a_page_in_another_encoding(status: int, told: str, kubeflow: Kubeflow, url: str, config: Path, said) -> None:
    """ISO 8859-1, of which nothing is said in its header."""
    kubeflow.broken["healthz_service_get_healthz"] = (status, "<title>Zugang verweigert f\udcfcr Sie</title>")
    assert submit(url, config) == 2
    assert told in said()


def test_a_login_page_in_the_middle(kubeflow: Kubeflow, url: str, config: Path, said) -> None:
    """A session that ends: no answer is taken for an empty list."""
    kubeflow.broken["experiment_service_list_experiments"] = (200, LOGIN)
    assert submit(url, config) == 2
    assert "titled 'Sign in to Kubeflow'" in said()
    assert kubeflow.pipelines == []


def test_a_redirect_to_a_login(kubeflow: Kubeflow, url: str, config: Path, said) -> None:
    kubeflow.broken["healthz_service_get_healthz"] = (302, "https://dex.example/auth")
    assert submit(url, config) == 2
    assert "HTTP 302, a redirect to https://dex.example/auth" in said()


def test_a_server_of_another_kind(config: Path, said) -> None:
    with serve(Kubeflow()) as url:
        assert submit(f"{url}/elsewhere", config) == 2
    assert "a Kubeflow Pipelines server of version 2 at" in said()


@pytest.mark.parametrize("words", [(), ("--token-file", "token")])
def test_a_token_that_is_missing_or_wrong(
    words: tuple[str, ...], config: Path, tmp_path: Path, said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("token").write_text("old\n", "utf-8")
    with serve(Kubeflow(token="secret")) as url:
        assert submit(url, config, *words) == 2
    error = said()
    assert "HTTP 401 Unauthenticated" in error
    assert "--token-file FILE, or the environment's SOUK_KFP_TOKEN" in error
    assert "old" not in error


def test_a_token_of_a_file_or_of_the_environment_is_sent(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text("secret\n", "utf-8")
    with serve(Kubeflow(token="secret")) as url:
        assert submit(url, config, "--token-file", str(tmp_path / "token")) == 0
        monkeypatch.setenv("SOUK_KFP_TOKEN", "secret")
        assert submit(url, config) == 0
    shown = capsys.readouterr()
    assert "secret" not in shown.out + shown.err


def test_a_token_file_that_is_missing(url: str, kubeflow: Kubeflow, config: Path, said) -> None:
    assert submit(url, config, "--token-file", "gone") == 2
    assert "a file with a token. Received: gone (" in said()
    assert kubeflow.requests == []


@pytest.mark.parametrize("text", ["", "\n", "secret\nsecret", "s\u20accret", "se cret"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(
    url: str, kubeflow: Kubeflow, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said, text: str
) -> None:
    (tmp_path / "token").write_text(text, "utf-8")
    assert submit(url, config, "--token-file", str(tmp_path / "token")) == 2
    error = said()
    assert "a token of one line of visible ASCII characters" in error
    assert "cret" not in error
    assert kubeflow.requests == []
    if text:
        monkeypatch.setenv("SOUK_KFP_TOKEN", text)
        assert submit(url, config) == 2
        assert "Received: SOUK_KFP_TOKEN" in said()


def test_a_token_of_the_environment_may_end_with_a_line_break(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUK_KFP_TOKEN", "secret\n")
    with serve(Kubeflow(token="secret")) as url:
        assert submit(url, config) == 0


@pytest.mark.parametrize(
    "words",
    [
        ("--poll", "-1"),
        ("--poll", "nan"),
        ("--deadline", "0"),
        ("--deadline", "inf"),
        ("--accelerators", "-1"),
        ("--tag", "latest"),
        ("--tag", "a b"),
        ("--registry", "https://ghcr.io"),
        ("--registry", "ghcr.io/US"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_anything_is_made(
    url: str, kubeflow: Kubeflow, config: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, str]
) -> None:
    with pytest.raises(SystemExit) as end:
        submit(url, config, "--wait", *words)
    assert end.value.code == 2
    assert f"argument {words[0]}: expected" in capsys.readouterr().err
    assert kubeflow.requests == []


def test_a_namespace_without_the_right(config: Path, said) -> None:
    kubeflow = Kubeflow(many_users=True)
    with serve(kubeflow) as url:
        assert submit(url, config, "--namespace", "theirs") == 2
    error = said()
    assert "the right to list experiments" in error
    assert "HTTP 403 Failed to authorize with API: User is not authorized (namespace: theirs)" in error
    assert "--namespace NAME" in error
    assert kubeflow.pipelines == []


def test_a_spec_that_the_server_refuses_leaves_no_empty_pipeline(
    kubeflow: Kubeflow, url: str, config: Path, said
) -> None:
    words = '{"error_message": "Invalid input error: unsupported schema version", "error_details": "..."}'
    kubeflow.broken["upload_pipeline_version"] = (400, words)
    assert submit(url, config) == 2
    error = said()
    assert "to take the pipeline version 'souk-0.1.0-" in error
    assert "HTTP 400 Invalid input error: unsupported schema version" in error
    assert "What was made stays" not in error
    assert kubeflow.pipelines == []


def test_an_empty_pipeline_that_cannot_be_removed_is_said(kubeflow: Kubeflow, url: str, config: Path, said) -> None:
    kubeflow.broken["upload_pipeline_version"] = (400, '{"error_message": "no"}')
    kubeflow.broken["pipeline_service_delete_pipeline"] = (403, '{"message": "no"}')
    assert submit(url, config) == 2
    assert "What was made stays: pipeline souk-training without a version" in said()


def test_a_run_that_is_refused_says_what_stays_and_the_next_call_uses_it(
    kubeflow: Kubeflow, url: str, config: Path, said
) -> None:
    kubeflow.broken["run_service_create_run"] = (400, '{"message": "The run name is empty", "code": 3}')
    assert submit(url, config, "--experiment", "New", "--create-experiment") == 2
    error = said()
    assert "HTTP 400 The run name is empty" in error
    assert "What was made stays: experiment New, pipeline souk-training, version souk-0.1.0-" in error
    kubeflow.broken.clear()
    assert submit(url, config, "--experiment", "New") == 0
    assert (len(kubeflow.experiments), len(kubeflow.pipelines), len(kubeflow.versions)) == (2, 1, 1)


def test_a_run_whose_answer_was_lost_may_have_been_taken(kubeflow: Kubeflow, url: str, config: Path, said) -> None:
    kubeflow.broken["run_service_create_run"] = (504, "<html><title>Gateway timeout</title></html>")
    assert submit(url, config) == 2
    error = said()
    assert "HTTP 504 Gateway timeout" in error
    assert "It may have been taken all the same" in error


def test_a_parameter_that_the_version_does_not_declare(kubeflow: Kubeflow, url: str, config: Path, said) -> None:
    """As when the version on the server was made by hand from another pipeline."""
    assert submit(url, config) == 0
    del kubeflow.versions[0]["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]["epochs"]
    assert submit(url, config) == 2
    assert "Unrecognized or missing input parameters: ['epochs']" in said()


def test_a_certificate_that_is_not_known_here(config: Path, certificate: Path, said) -> None:
    with serve(Kubeflow(), str(certificate)) as url:
        assert submit(url, config) == 2
        error = said()
        assert "a certificate of https://127.0.0.1" in error
        assert "CERTIFICATE_VERIFY_FAILED" in error
        assert "--ca-cert FILE" in error
        assert submit(url, config, "--ca-cert", str(certificate)) == 0


def test_a_certificate_file_that_is_missing(config: Path, said) -> None:
    assert submit("https://127.0.0.1:9", config, "--ca-cert", "gone.pem") == 2
    assert "a file with a certificate. Received: gone.pem" in said()


def test_a_certificate_file_that_holds_none(config: Path, certificate: Path, said) -> None:
    with serve(Kubeflow(), str(certificate)) as url:
        assert submit(url, config, "--ca-cert", str(config)) == 2
    assert "--ca-cert FILE" in said()
