"""How Beam runs: embedded, or on a runner that it knows."""

from __future__ import annotations

import json
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.runner import create_runner

from souk.errors import SoukError

EMBEDDED = "FnApiRunner"  # by name, because DirectRunner first looks for another runner on the network


@dataclass(frozen=True)
class Runner:
    """How Beam runs.

    Args:
        name: `FnApiRunner` (embedded), or another that Beam knows, whose workers see the features folder under the
            same path: they write shards into it.
        options: Beam's own flags.
    """

    name: str = EMBEDDED
    options: tuple[str, ...] = ()

    @classmethod
    def parse(cls, name: str, options: str) -> Runner:
        """From the pipeline's parameters: `options` is a JSON list of flags, or empty."""
        try:
            flags = json.loads(options or "[]")
        except json.JSONDecodeError as error:
            raise SoukError("beam_options to be a JSON list of flags", repr(options), str(error)) from error
        if not isinstance(flags, list) or not all(isinstance(flag, str) for flag in flags):
            raise SoukError("beam_options to be a JSON list of flags", repr(options), 'For instance ["--flag=1"].')
        embedded = not name or name.rsplit(".", 1)[-1] == EMBEDDED
        return cls(EMBEDDED if embedded else name, tuple(flags))

    def pipeline(self) -> beam.Pipeline:
        """A new pipeline on this runner."""
        if self.name == EMBEDDED:
            return beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions(list(self.options)))
        self.check()
        try:
            return beam.Pipeline(options=PipelineOptions([f"--runner={self.name}", *self.options]))
        except ValueError as error:
            expected = f"Beam options with which {self.name} starts"
            raise SoukError(expected, repr(list(self.options)), str(error)) from error

    def check(self) -> None:
        """Raises SoukError where Beam finds no runner of the name or path; starts nothing."""
        try:
            create_runner(self.name)
        except (ValueError, ImportError, AttributeError, TypeError) as error:
            raise SoukError("a Beam runner", repr(self.name), str(error)) from error
