"""Recurring runs: when one is due, and how a new one takes the place of the old."""

from __future__ import annotations

import contextlib

from kfp_server_api import models

from souk.cli.kubeflow import Server
from souk.errors import SoukError

ENABLED = "ENABLED"


def trigger(cron: str | None, hours: float | None) -> models.V2beta1Trigger:
    """When a recurring run is due: by a cron line, or else every so many hours."""
    if cron:
        return models.V2beta1Trigger(cron_schedule=models.V2beta1CronSchedule(cron=cron))
    seconds = str(round((hours or 0) * 3600))
    return models.V2beta1Trigger(periodic_schedule=models.V2beta1PeriodicSchedule(interval_second=seconds))


def replace(server: Server, recurring: models.V2beta1RecurringRun) -> tuple[str, int]:
    """Puts `recurring` in the place of those of its name; never two of them are enabled at once.

    The new one is created disabled, the old ones are disabled, the new one is enabled, the old ones are deleted. Where
    a call fails before the new one is enabled, the old ones are enabled again and the new one is deleted.

    Returns:
        The id of the new one, and how many it replaced.

    Raises:
        SoukError: one of that name runs another pipeline, or a call failed; then the old ones are as they were, or the
            error says which are not.
    """
    old = server.recurring(recurring.display_name)
    ours = recurring.pipeline_version_reference.pipeline_id
    for other in old:
        reference = other.pipeline_version_reference
        if reference is None or reference.pipeline_id != ours:
            raise SoukError(
                f"the recurring run {recurring.display_name!r} to be one of this pipeline",
                "one of another pipeline",
                "Choose another name: --recurring-name NAME.",
            )
    recurring.mode = models.RecurringRunMode.DISABLE
    new = server.create_recurring(recurring)
    enabled = [str(other.recurring_run_id) for other in old if other.status == ENABLED]
    stopped: list[str] = []
    try:
        for identifier in enabled:
            stopped.append(identifier)  # first: a call without an answer may have done its work
            server.enable_recurring(identifier, False)
        server.enable_recurring(new, True)
    except SoukError as error:
        raise _undone(server, error, new, stopped) from error
    for other in old:
        with contextlib.suppress(SoukError):  # disabled, it does no harm
            server.delete_recurring(str(other.recurring_run_id))
    return new, len(old)


def _undone(server: Server, error: SoukError, new: str, stopped: list[str]) -> SoukError:
    """Undoes what `replace` did; the error, with what could not be undone."""
    left, disabled = list[str](), list[str]()
    try:
        server.delete_recurring(new)
    except SoukError:
        left, disabled = [f"the new one, {new}, may be left, enabled or not"], stopped
    for identifier in [] if left else stopped:
        try:
            server.enable_recurring(identifier, True)
        except SoukError:
            disabled.append(identifier)
    left += [f"the old one, {identifier}, may be disabled" for identifier in disabled]
    state = f"Look at the recurring runs: {'; '.join(left)}." if left else "The recurring runs are as they were."
    return SoukError(error.expected, error.received, f"{error.remedy} {state}".strip())
