"""The edges: command line, report, and later the servers. Bytes in, bytes out; nothing below imports this."""
