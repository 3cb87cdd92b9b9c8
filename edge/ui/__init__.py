"""The edge console: pages that a person looks at. Ring: rim; view models are pure functions from values to values."""
