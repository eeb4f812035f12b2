"""`make demo`: a push to a pull request's branch trains a model through the Action, on services on this machine."""
