"""Authentication: accounts, sign-in, tokens, signing keys, tenants, and OpenID Connect logins."""
