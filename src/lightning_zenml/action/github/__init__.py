"""GitHub: the event that started the Action, the runner that it talks to, the REST API."""
