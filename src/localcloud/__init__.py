"""Stand-ins, on this machine, for the services that the product talks to. Never part of the product."""
