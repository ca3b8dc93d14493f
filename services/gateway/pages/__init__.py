"""Pages and their files: the shop at `/`, the API's documentation at `/docs`."""
