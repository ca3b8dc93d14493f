"""The typed model of a rollout: spec, status, observed state, and the documents and schema that carry them."""
