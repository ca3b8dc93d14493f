"""What stands between the public and the routes: limits, headers, keys against doing things twice."""
