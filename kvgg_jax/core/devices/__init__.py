"""The devices and processes of a run. No other package counts either."""
