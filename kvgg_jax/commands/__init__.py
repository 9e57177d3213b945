"""One file a group of commands; each adds its own to `app.app`."""
