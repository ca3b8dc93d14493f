"""The page: its files, and the stream that tells it of new traces."""
