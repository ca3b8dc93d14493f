"""Sign-up, login, tokens and signing keys over REST."""
