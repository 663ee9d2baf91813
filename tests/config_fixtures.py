"""Texts of configs."""

MINIMAL = """
name: tiny
data: {events: {path: events.csv}}
objectives: {engaged: {events: [click, purchase]}, satisfied: {events: [purchase], unless: [return], within_days: 14}}
"""


SHOP = "columns: {items: {price: numeric, seller_id: categorical, category: path, title: text}}\n"


HOMES = """columns:
  users: {home: categorical, age: numeric}
  events: {place: categorical, stock: numeric}
  items: {city: categorical, tags: list, price: numeric, title: text}
"""


SPLIT = """
name: shop
data: {{events: {{path: e.csv{events}}}, items: {{path: i.csv{items}}}, users: {{path: u.csv{users}}}}}
columns: {{items: {{brand: categorical, colour: categorical, about: text, tags: list, home: path, look: "vector[2]"}}}}
objectives: {{engaged: {{events: [click]}}, satisfied: {{events: [click]}}}}
"""
