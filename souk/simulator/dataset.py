"""The dataset config of a simulated marketplace; `configs/simulated.yaml` is the same for the one that make runs."""

from __future__ import annotations

CONFIG = """\
# {about}
#
#   {command}
#
# What is planted in it, and what any slate is really worth: docs/simulator.md.
name: simulated

data:
{where}  events: {{path: events.parquet}}
  items: {{path: items.parquet}}
  users: {{path: users.parquet}}

columns:
  events: {{device: categorical, location: categorical, surface: categorical}}
  items:
    category: path
    title: text
    price: numeric
    brand: categorical
    seller_id: categorical
    condition: categorical
    photos: numeric
  users: {{region: categorical, income: categorical}}

objectives:
  engaged: {{events: [click]}}
  satisfied:  # bought, and kept
    events: [click]
    followed_by: [purchase]
    unless: [return]
    within_days: 3
    weight: 0.5

repeat: always  # who liked a thing may buy it again

split: {{validation: 0.15, test: 0.15}}  # whether a purchase is kept is known after three days
deploy: {{slate_size: 10, max_slate_size: 100}}
"""


def config_text(about: str, command: str, folder: str = "", obtain: str = "") -> str:
    """A dataset config, YAML.

    Args:
        about: the first line of its comment.
        command: that trains on it.
        folder: of the tables, from the config's place; "" for the same.
        obtain: the command that makes the tables, where they may be missing.
    """
    given = {"folder": folder, "obtain": obtain}
    where = "".join(f"  {key}: {value}\n" for key, value in given.items() if value)
    return CONFIG.format(about=about, command=command, where=where)
