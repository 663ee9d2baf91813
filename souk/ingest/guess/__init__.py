"""The first config of unknown files (`souk init`): what their columns and rows are, each guess with its evidence."""
