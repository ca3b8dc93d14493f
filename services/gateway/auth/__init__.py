"""The demo's own issuer of tokens: accounts, sign-in, keys, and logins by way of other issuers."""
