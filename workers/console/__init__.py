"""The console: the door for browsers, on a private address."""
