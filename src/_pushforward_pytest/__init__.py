"""The pytest plugin of pushforward."""
