"""The control API of a running `up`: server and client over a unix socket."""
