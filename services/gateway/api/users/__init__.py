"""Users over REST, in each version of the API."""
