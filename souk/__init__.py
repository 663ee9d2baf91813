"""Souk: a marketplace recommender, from events to served slates."""

__version__ = "0.1.0"
